import assert from "node:assert/strict";
import { mkdir } from "node:fs/promises";
import path from "node:path";
import { type StackSettings, urlOf } from "../../scripts/stack/settings.ts";
import { openBrowser, openPage } from "./browser.ts";

/**
 * Labels a task as a person does: logs in, chooses a label by key, drags a box, deletes a second one, saves, finishes the
 * job. Returns the box in pixels of the first picture.
 */
export async function drawBoxesInBrowser(settings: StackSettings, taskId: number, screenshots: string): Promise<{ box: [number, number, number, number] }> {
  await mkdir(screenshots, { recursive: true });
  const browser = await openBrowser();
  try {
    const page = await openPage(browser, { viewport: { width: 1200, height: 800 } });
    const problems: string[] = [];
    page.on("pageerror", (error) => problems.push(error.message));
    page.on("console", (message) => message.type() === "error" && problems.push(message.text()));
    page.on(
      "request",
      (request) =>
        new URL(request.url()).host.startsWith("localhost") || request.url().startsWith("blob:") || problems.push(`left the machine: ${request.url()}`),
    );
    page.on("dialog", (dialog) => void dialog.accept());

    await page.goto(`${urlOf(settings, "labeler")}/tasks/${taskId}`);
    await page.fill('input[name="user"]', settings.env["LABELER_USER"] || "admin");
    await page.fill('input[name="password"]', settings.env["LABELER_PASSWORD"] ?? "");
    await page.click("form button");
    await page.waitForSelector(".stage svg image[href^='blob:']");

    // Where the picture's pixels are on the screen: the view box keeps its proportions and is centred.
    const stage = (await page.locator(".stage svg").boundingBox())!;
    const [, , width, height] = (await page.locator(".stage svg").getAttribute("viewBox"))!.split(" ").map(Number) as [number, number, number, number];
    const scale = Math.min(stage.width / width, stage.height / height);
    const at = (x: number, y: number) => ({
      x: stage.x + (stage.width - width * scale) / 2 + x * scale,
      y: stage.y + (stage.height - height * scale) / 2 + y * scale,
    });
    const drag = async (x1: number, y1: number, x2: number, y2: number) => {
      const [from, to] = [at(x1, y1), at(x2, y2)];
      await page.mouse.move(from.x, from.y);
      await page.mouse.down();
      await page.mouse.move((from.x + to.x) / 2, (from.y + to.y) / 2);
      await page.mouse.move(to.x, to.y);
      await page.mouse.up();
    };

    await page.keyboard.press("2");
    await drag(40, 50, 140, 130);
    await drag(200, 150, 260, 200);
    assert.equal(await page.locator("rect.box").count(), 2);
    await page.keyboard.press("Delete");
    assert.equal(await page.locator("rect.box").count(), 1);
    // Moved by mouse, 20 px to the right and 10 down.
    await drag(90, 90, 110, 100);
    await page.screenshot({ path: path.join(screenshots, "labeler.png") });
    await page.keyboard.press("Control+s");
    await page.waitForSelector("#message:has-text('Saved.')");
    await page.click("#finish");
    await page.waitForSelector("#state:has-text('finished')");
    assert.deepEqual(problems, []);
    return { box: [60, 60, 160, 140] };
  } finally {
    await browser.close();
  }
}

import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import type { Browser, Page } from "playwright-core";
import sharp from "sharp";
import { openBrowser, openPage } from "../../test/e2e/browser.ts";
import { waitFor } from "../../test/patience.ts";
import { manifestOf, type RunningService, someOnnx, startService, writeModel } from "./running-service.ts";

describe("the page of the inference service", () => {
  let service: RunningService;
  let browser: Browser;
  let page: Page;
  let folder: string;
  const requests: string[] = [];
  const problems: string[] = [];
  before(async function () {
    this.timeout(60_000);
    folder = await mkdtemp(path.join(tmpdir(), "page-"));
    await sharp({ create: { width: 320, height: 200, channels: 3, background: "#3a7" } })
      .jpeg()
      .toFile(path.join(folder, "picture.jpg"));
    await writeFile(path.join(folder, "text.jpg"), "this is no picture");
    service = await startService();
    const onnx = someOnnx(1, { sure: true });
    await writeModel(service.folder, onnx, manifestOf(onnx));
    await service.host.refresh();
    // Chromium's own camera for tests shows a moving pattern; it is asked for as a person would allow it.
    browser = await openBrowser(["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]);
    page = await openPage(browser);
    page.on("request", (request) => requests.push(request.url()));
    page.on("pageerror", (error) => problems.push(String(error)));
    page.on("console", (message) => message.type() === "error" && problems.push(message.text()));
    await page.goto(service.url);
  });
  after(async () => {
    await browser?.close();
    await service?.stop();
    await rm(folder, { recursive: true, force: true });
  });

  /** Playwright's own waiting evaluates text within the page, which the page's policy forbids. */
  const until = async (condition: string) => {
    await waitFor(() => page.evaluate<boolean>(condition), { what: condition });
  };
  const rows = () => page.locator("#results tbody tr").count();
  const message = () => page.locator("#message").textContent();

  it("says which model serves, finds objects in a chosen picture, and lists them by the confidence that the slider asks for", async () => {
    await until('document.getElementById("model").textContent.includes("m, version 1")');
    await page.locator("#file").setInputFiles(path.join(folder, "picture.jpg"));
    await page.waitForSelector("#canvas", { state: "visible" });
    const low = await rows();
    assert.ok(low > 0, (await message()) ?? "");
    assert.match((await page.locator("#speed").textContent()) ?? "", /ms to decode/);
    assert.match((await page.locator("#canvas").getAttribute("aria-label")) ?? "", new RegExp(`with ${low} boxes`));
    assert.deepEqual(await page.evaluate('[document.getElementById("canvas").width, document.getElementById("canvas").height]'), [320, 200]);
    await page.locator("#conf").fill("0.99");
    assert.equal(await rows(), 0);
    assert.match((await message()) ?? "", /Nothing was found/);
  }).timeout(30_000);

  it("takes a picture that is dropped, and one that is pasted", async () => {
    for (const event of ['new DragEvent("drop", { dataTransfer: data })', 'new ClipboardEvent("paste", { clipboardData: data, bubbles: true })']) {
      await page.evaluate(`(async () => {
        document.getElementById("speed").textContent = "";
        const canvas = document.createElement("canvas");
        canvas.width = canvas.height = 50;
        const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
        const data = new DataTransfer();
        data.items.add(new File([blob], "p.png", { type: "image/png" }));
        document.getElementById("drop").dispatchEvent(${event});
      })()`);
      await until('document.getElementById("speed").textContent.includes("ms")');
      assert.equal(await page.evaluate('document.getElementById("canvas").width'), 50);
    }
  }).timeout(30_000);

  it("takes a picture with the camera, and lets go of it", async () => {
    await page.evaluate('document.getElementById("speed").textContent = ""');
    await page.locator("#camera").click();
    await page.waitForSelector("#shoot", { state: "visible" });
    assert.equal(await page.evaluate("document.activeElement.id"), "shoot");
    const camera = await page.evaluate('[document.getElementById("video").videoWidth, document.getElementById("video").videoHeight]');
    await page.keyboard.press("Enter");
    await until('document.getElementById("speed").textContent.includes("ms")');
    assert.deepEqual(await page.evaluate('[document.getElementById("canvas").width, document.getElementById("canvas").height]'), camera);
    assert.equal(await page.locator("#video").isVisible(), false);
    assert.deepEqual(await page.evaluate('document.getElementById("video").srcObject.getTracks().map((track) => track.readyState)'), ["ended"]);
  }).timeout(30_000);

  it("says so when there is no camera that it may use", async () => {
    const other = await openBrowser();
    try {
      const without = await openPage(other);
      await without.goto(service.url);
      await without.locator("#camera").click();
      await without.waitForSelector("#message.bad");
      assert.match((await without.locator("#message").textContent()) ?? "", /^The camera cannot be used: /);
    } finally {
      await other.close();
    }
  }).timeout(30_000);

  it("says what is wrong with a file that is no picture", async () => {
    await page.locator("#file").setInputFiles(path.join(folder, "text.jpg"));
    await until('document.getElementById("message").classList.contains("bad")');
    assert.match((await message()) ?? "", /not a picture/);
  }).timeout(30_000);

  it("is used with the keyboard alone: everything is reached by Tab, shows its focus, and has a name", async () => {
    await page.reload();
    await page.locator("#file").setInputFiles(path.join(folder, "picture.jpg"));
    await until('document.querySelectorAll("#results tbody tr").length > 0');
    const reached: unknown[] = [];
    for (let i = 0; i < 8; i++) {
      await page.keyboard.press("Tab");
      reached.push(
        await page.evaluate(`(() => {
          const active = document.activeElement;
          const outlined = [active, active.closest("label")].some((element) => element && getComputedStyle(element).outlineStyle !== "none");
          return (active.id || active.tagName.toLowerCase()) + (outlined ? "" : " without focus ring");
        })()`),
      );
    }
    assert.deepEqual(reached.slice(0, 6), ["a", "file", "camera", "conf", "iou", "tr"]);
    const before = await page.locator("#conf").inputValue();
    await page.locator("#conf").focus();
    await page.keyboard.press("ArrowRight");
    assert.notEqual(await page.locator("#conf").inputValue(), before);
    const nameless = await page.evaluate(`[...document.querySelectorAll("input, button, canvas, section")].filter(
      (element) => !element.getAttribute("aria-label") && !element.labels?.length && !element.textContent.trim(),
    ).length`);
    assert.equal(nameless, 0);
  }).timeout(30_000);

  it("asks nothing but this service, and runs without an error", async () => {
    assert.deepEqual(
      requests.filter((url) => !url.startsWith(service.url) && !url.startsWith("blob:")),
      [],
    );
    assert.deepEqual(problems, []);
  });
});

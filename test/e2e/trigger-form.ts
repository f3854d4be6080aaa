import { mkdir } from "node:fs/promises";
import path from "node:path";
import { type StackSettings, urlOf } from "../../scripts/stack/settings.ts";
import { openBrowser, openPage } from "./browser.ts";

/** Opens a DAG's trigger form in Airflow's UI, takes a picture of it and returns its text. */
export async function lookAtTriggerForm(settings: StackSettings, dag: string, screenshots: string): Promise<string> {
  await mkdir(screenshots, { recursive: true });
  const browser = await openBrowser();
  try {
    const page = await openPage(browser, { viewport: { width: 1300, height: 1100 } });
    await page.goto(`${urlOf(settings, "airflow")}/dags/${dag}`);
    await page.waitForSelector('input[name="username"]');
    await page.fill('input[name="username"]', settings.env["AIRFLOW_USER"] || "admin");
    await page.fill('input[name="password"]', settings.env["AIRFLOW_PASSWORD"] || "admin");
    await page.click('button[type="submit"]');
    await page.waitForURL(new RegExp(`/dags/${dag}|/$`));
    await page.goto(`${urlOf(settings, "airflow")}/dags/${dag}`);
    await page
      .getByRole("button", { name: /trigger/i })
      .first()
      .click();
    const dialog = page.getByRole("dialog");
    await dialog.waitFor();
    await dialog
      .getByText(/batch_size|model_name/)
      .first()
      .waitFor();
    await page.screenshot({ path: path.join(screenshots, `trigger-${dag}.png`) });
    return (await dialog.textContent()) ?? "";
  } finally {
    await browser.close();
  }
}

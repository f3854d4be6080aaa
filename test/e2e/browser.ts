import { type Browser, type BrowserContextOptions, chromium, type Page } from "playwright-core";
import { findBrowser } from "../../scripts/set-up/browser.mjs";
import { patientMs } from "../patience.ts";

/** A headless Chromium that makes no connections of its own; `more` are switches of its command line. */
export async function openBrowser(more: readonly string[] = []): Promise<Browser> {
  const executablePath = findBrowser();
  const args = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    ...more,
  ];
  return chromium.launch({ ...(executablePath ? { executablePath } : {}), args, timeout: patientMs(30_000) });
}

/** A page whose waits are as patient as the tests are. */
export async function openPage(browser: Browser, options: BrowserContextOptions = {}): Promise<Page> {
  const page = await browser.newPage(options);
  page.setDefaultTimeout(patientMs(30_000));
  return page;
}

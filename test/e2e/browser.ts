import { type Browser, chromium } from "playwright-core";
import { findBrowser } from "../../scripts/set-up/browser.mjs";

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
  return chromium.launch(executablePath ? { executablePath, args } : { args });
}

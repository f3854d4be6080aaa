// Finds the Chromium or Chrome for the browser tests, and installs one where there is none.
import { spawnSync } from "node:child_process";
import { run, SetupError } from "./run.mjs";

const names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

/** The path of a browser on this machine, or undefined. */
export function findBrowser() {
  if (process.env["CHROME_PATH"]) return process.env["CHROME_PATH"];
  for (const name of names) {
    const found = spawnSync("which", [name], { encoding: "utf8" });
    if (found.status === 0) return found.stdout.trim();
  }
  return undefined;
}

/** Installs a Chromium: Debian's package as root, else playwright's own build. Says which. */
export async function ensureBrowser() {
  if (findBrowser()) return;
  if (process.getuid?.() === 0 && spawnSync("which", ["apt-get"]).status === 0) {
    console.log("  … no Chromium here: installing Debian's package `chromium` for the browser tests");
    await run("apt-get", ["update", "-qq"]);
    await run("apt-get", ["install", "-y", "-qq", "--no-install-recommends", "chromium"], { env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" } });
  } else {
    console.log("  … no Chromium here: installing playwright's build of it for the browser tests");
    await run("npx", ["playwright-core", "install", "chromium"]);
    return;
  }
  if (!findBrowser()) throw new SetupError("Chromium was installed but is not on PATH: set CHROME_PATH to it.");
}

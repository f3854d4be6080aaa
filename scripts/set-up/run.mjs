// Runs set-up commands with their output in a log file, and steps that are skipped while their inputs are unchanged.
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { createWriteStream, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

/** The repository root. */
export const root = fileURLToPath(new URL("../../", import.meta.url));
const logFile = path.join(root, ".airloom/logs/setup.log");

/** An error whose message alone is for the person at the terminal. */
export class SetupError extends Error {}

/**
 * Runs a program without a shell; its output goes to the set-up log.
 * @param {string} program
 * @param {string[]} args
 * @param {{ env?: NodeJS.ProcessEnv, cwd?: string }} [options]
 */
export async function run(program, args, { env = process.env, cwd = root } = {}) {
  mkdirSync(path.dirname(logFile), { recursive: true });
  const log = createWriteStream(logFile, { flags: "a" });
  log.write(`\n$ ${program} ${args.join(" ")}\n`);
  let tail = "";
  const code = await new Promise((resolve, reject) => {
    const child = spawn(program, args, { cwd, env, stdio: ["ignore", "pipe", "pipe"] });
    for (const stream of [child.stdout, child.stderr])
      stream.on("data", (chunk) => {
        log.write(chunk);
        tail = (tail + chunk).slice(-2000);
      });
    child.on("error", (cause) => reject(new SetupError(`cannot start ${program}: ${cause.message}`)));
    child.on("close", resolve);
  });
  await new Promise((resolve) => log.end(resolve));
  if (code !== 0) throw new SetupError(`\`${program} ${args.slice(0, 6).join(" ")}\` failed (exit ${code}).\n\n${tail.trim()}\n\nThe whole log: ${logFile}`);
}

/** @param {string[]} files relative to the root @param {string} [extra] */
function fingerprint(files, extra = "") {
  const hash = createHash("sha256").update(extra);
  for (const file of files) hash.update(file).update(readFileSync(path.join(root, file)));
  return hash.digest("hex");
}

/**
 * Does `work` unless it was done before with the same inputs and what it made is still there.
 * @param {{ name: string, inputs: string[], extra?: string, makes: string }} step `makes` is a path relative to the root
 * @param {() => Promise<string | void>} work what it returns is said beside the name
 */
export async function step({ name, inputs, extra, makes }, work) {
  const stamp = path.join(root, ".airloom/stamps", name.replace(/\W+/g, "-"));
  const wanted = fingerprint(inputs, extra);
  if (existsSync(path.join(root, makes)) && existsSync(stamp) && readFileSync(stamp, "utf8") === wanted) return;
  rmSync(stamp, { force: true });
  const started = Date.now();
  const ticker = process.stdout.isTTY
    ? setInterval(() => process.stdout.write(`\r  … ${name} (${Math.round((Date.now() - started) / 1000)} s)`), 1000)
    : undefined;
  if (!ticker) console.log(`  … ${name}`);
  try {
    const note = await work();
    mkdirSync(path.dirname(stamp), { recursive: true });
    writeFileSync(stamp, wanted);
    console.log(`${ticker ? "\r" : ""}  ✓ ${name} (${((Date.now() - started) / 1000).toFixed(0)} s)${note ? `: ${note}` : ""}`);
  } finally {
    clearInterval(ticker);
  }
}

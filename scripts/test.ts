// All tests: `npm test`. Checks first, then unit tests, then the whole system; ends with a line "N passed, N failed".
//
//   npm test -- --only unit     checks, compile, unit, conformance or e2e
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";

interface Count {
  passed: number;
  failed: number;
}

const root = fileURLToPath(new URL("../", import.meta.url));
const bin = (name: string) => path.join(root, "node_modules/.bin", name);
const reports = mkdtempSync(path.join(tmpdir(), "airloom-test-"));

/** Runs a program with its output on the terminal; gives the exit code. */
async function run(command: string, args: readonly string[]): Promise<number> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, [...args], { cwd: root, stdio: ["ignore", "inherit", "inherit"], env: { ...process.env, TF_CPP_MIN_LOG_LEVEL: "2" } });
    child.on("error", reject);
    child.on("exit", (code) => resolve(code ?? 1));
  });
}

/** A command that passes or fails as a whole. */
const whole =
  (command: string, ...args: string[]) =>
  async (): Promise<Count> => {
    const code = await run(command, args);
    return { passed: code === 0 ? 1 : 0, failed: code === 0 ? 0 : 1 };
  };

const mocha =
  (name: string, ...specs: string[]) =>
  async (): Promise<Count> => {
    const file = path.join(reports, `${name}.json`);
    const reporter = path.join(root, "scripts/test-reporter.cjs");
    const code = await run(bin("mocha"), ["--reporter", reporter, "--reporter-option", `file=${file}`, ...specs]);
    try {
      const { passes, failures } = JSON.parse(readFileSync(file, "utf8")) as { passes: number; failures: number };
      // A run that ended badly without a failed test has failed all the same.
      return { passed: passes, failed: Math.max(failures, code === 0 ? 0 : 1) };
    } catch {
      return { passed: 0, failed: 1 };
    }
  };

const parts: Record<string, Record<string, () => Promise<Count>>> = {
  checks: {
    "format (oxfmt)": whole(bin("oxfmt"), "--check", "."),
    "lint (oxlint)": whole(bin("oxlint"), "--type-aware", "--deny-warnings"),
    "types (tsc)": whole(bin("tsc")),
    "unused code (knip)": whole(bin("knip"), "--no-config-hints"),
  },
  compile: { "generated-dags is what dags-ts compiles to": whole(process.execPath, "sdk/bin/compile-dags.mjs", "--check") },
  unit: { "unit tests": mocha("unit", "{sdk,yolo,dataset-platform,runners,inference}/test/**/*.test.ts", "test/{containers,scripts}/**/*.test.ts") },
  conformance: { "the simulator and both transports against a real Airflow": mocha("conformance", "test/conformance/**/*.test.ts") },
  e2e: { "the whole loop": mocha("e2e", "test/e2e/**/*.test.ts") },
};

const only = process.argv.includes("--only") ? process.argv[process.argv.indexOf("--only") + 1]?.split(",") : undefined;
const total: Count = { passed: 0, failed: 0 };
for (const [name, steps] of Object.entries(parts)) {
  if (only && !only.includes(name)) continue;
  for (const [title, step] of Object.entries(steps)) {
    const started = Date.now();
    console.log(`\n== ${title}`);
    const { passed, failed } = await step();
    total.passed += passed;
    total.failed += failed;
    console.log(`== ${title}: ${failed === 0 ? "passed" : "FAILED"} (${Math.round((Date.now() - started) / 1000)} s)`);
  }
}
rmSync(reports, { recursive: true, force: true });
console.log(`\n${total.passed} passed, ${total.failed} failed`);
process.exit(total.failed === 0 && total.passed > 0 ? 0 : 1);

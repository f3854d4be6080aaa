// Makes a fresh clone ready: packages, Python, TensorFlow binding, .env. Plain Node without dependencies, since it runs
// before `npm ci`. Each step is skipped while its inputs are unchanged.
//
//   node scripts/setup.mjs [--for=test] [--only=npm,python,tfjs,env] [--omit=dev] [--run=scripts/start.ts …]
//
// With --run it goes on as that TypeScript program, in the same process: a signal to npm then reaches it, and not a shell.
import { chmodSync, chownSync, existsSync } from "node:fs";
import path from "node:path";
import { ensureBrowser } from "./set-up/browser.mjs";
import { ensureEnvFile } from "./set-up/env-file.mjs";
import { pythonEnvironment } from "./set-up/python.mjs";
import { root, run, SetupError, step } from "./set-up/run.mjs";
import { tfjsBinding } from "./set-up/tfjs-binding.mjs";
import { checkVersions, platformLimits } from "./set-up/versions.mjs";

const option = (/** @type {string} */ name) => process.argv.find((arg) => arg.startsWith(`--${name}=`))?.split("=")[1];
const program = option("run");
const forTest = option("for") === "test";
const only = option("only")?.split(",");
const wants = (/** @type {string} */ part) => !only || only.includes(part);

async function main() {
  const python = checkVersions();
  const limits = platformLimits();
  if (limits) console.log(limits);
  if (wants("npm")) {
    const inputs = ["package-lock.json", ".npmrc"];
    await step({ name: "npm packages", inputs, makes: "node_modules/.package-lock.json" }, () =>
      run("npm", ["ci", "--ignore-scripts", "--no-audit", "--no-fund", ...(option("omit") ? [`--omit=${option("omit")}`] : [])]),
    );
  }
  if (wants("python")) await pythonEnvironment(python, ".venv", "scripts/python/requirements.lock", "Python environment (Airflow, MLflow, DVC)");
  if (wants("tfjs")) await tfjsBinding();
  if (wants("env")) {
    const made = ensureEnvFile();
    if (made.length > 0) console.log(`  ✓ .env: fresh ${made.join(", ")}`);
    if (existsSync(path.join(root, ".env"))) chmodSync(path.join(root, ".env"), 0o600);
    // Containers write there as user 1000 where root has cloned the repository: they never run as root.
    if (process.getuid?.() === 0)
      for (const folder of ["dataset-platform/incoming", "model"]) if (existsSync(path.join(root, folder))) chownSync(path.join(root, folder), 1000, 0);
  }
  if (forTest) {
    await pythonEnvironment(python, ".venv-test", "scripts/python/requirements-test.lock", "Python environment for the tests (CVAT SDK, ONNX checker)");
    await pythonEnvironment(python, ".venv-providers", "scripts/python/airflow-providers.lock", "Python environment with Airflow's providers, for the tests");
    await pythonEnvironment(python, ".venv-airflow-2.11", "scripts/python/airflow-2.11.lock", "Python environment with Airflow 2.11, for the tests");
    await ensureBrowser();
  }
}

try {
  await main();
} catch (error) {
  if (!(error instanceof SetupError)) throw error;
  console.error(`\nSet-up stopped: ${error.message}`);
  process.exit(1);
}

if (program) {
  const own = process.argv.slice(2).filter((arg) => !/^--(for|only|omit|run)=/.test(arg));
  process.argv = [process.argv[0] ?? "node", path.join(root, program), ...own];
  const { register } = await import("tsx/esm/api");
  register();
  await import(path.join(root, program));
}

// Makes a fresh clone ready: packages, Python, TensorFlow binding, .env. Plain Node without dependencies, since it runs
// before `npm ci`. Each step is skipped while its inputs are unchanged.
//
//   node scripts/setup.mjs [--for=test] [--parts=npm,python,tfjs,env] [--omit=dev] [--run=scripts/start.ts …]
//
// With --run it goes on as that TypeScript program, in the same process: a signal to npm then reaches it, and not a shell.
// What follows --run is the program's own: `npm start -- --only=mlflow` sets everything up and starts MLflow.
import { chmodSync, chownSync, existsSync } from "node:fs";
import path from "node:path";
import { ensureBrowser } from "./set-up/browser.mjs";
import { ensureEnvFile } from "./set-up/env-file.mjs";
import { setupOptions } from "./set-up/options.mjs";
import { pythonEnvironment } from "./set-up/python.mjs";
import { root, run, SetupError, step } from "./set-up/run.mjs";
import { tfjsBinding } from "./set-up/tfjs-binding.mjs";
import { checkVersions, platformLimits, tryFindPython } from "./set-up/versions.mjs";

/** @param {import("./set-up/options.mjs").SetupOptions} options */
async function main({ parts, forTest, omit }) {
  const python = checkVersions();
  const limits = platformLimits();
  if (limits) console.log(limits);
  if (parts.includes("npm")) {
    const inputs = ["package-lock.json", ".npmrc"];
    await step({ name: "npm packages", inputs, makes: "node_modules/.package-lock.json" }, () =>
      run("npm", ["ci", "--ignore-scripts", "--no-audit", "--no-fund", ...(omit ? [`--omit=${omit}`] : [])]),
    );
  }
  if (parts.includes("python")) await pythonEnvironment(python, ".venv", "scripts/python/requirements.lock", "Python environment (Airflow, MLflow, DVC)");
  if (parts.includes("tfjs")) await tfjsBinding();
  if (parts.includes("env")) {
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
    // That Airflow refuses newer Pythons.
    const olderPython = tryFindPython([3, 13, 0]);
    if (olderPython)
      await pythonEnvironment(olderPython, ".venv-airflow-2.11", "scripts/python/airflow-2.11.lock", "Python environment with Airflow 2.11, for the tests");
    else console.log("  – no Python 3.11 or 3.12 here, which Airflow 2.11 needs: the comparison with it is skipped");
    await ensureBrowser();
  }
}

/** The options, once everything they ask for is ready; ends the process with a sentence where that cannot be. */
async function setUp() {
  try {
    const options = setupOptions(process.argv.slice(2));
    await main(options);
    return options;
  } catch (error) {
    if (!(error instanceof SetupError)) throw error;
    console.error(`\nSet-up stopped: ${error.message}`);
    process.exit(1);
  }
}

const { program, rest } = await setUp();
if (program) {
  process.argv = [process.argv[0] ?? "node", path.join(root, program), ...rest];
  const { register } = await import("tsx/esm/api");
  register();
  await import(path.join(root, program));
}

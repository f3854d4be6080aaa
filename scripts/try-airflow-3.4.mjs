// Runs the conformance DAGs on the pre-release of Airflow 3.4, through its own NodeCoordinator: node scripts/try-airflow-3.4.mjs
// Not part of `npm test`: a pre-release may change from one day to the next.
import { spawnSync } from "node:child_process";
import path from "node:path";
import { pythonEnvironment } from "./set-up/python.mjs";
import { root } from "./set-up/run.mjs";
import { checkVersions } from "./set-up/versions.mjs";

await pythonEnvironment(checkVersions(), ".venv-airflow-3.4", "scripts/python/airflow-3.4.lock", "Python environment with the pre-release of Airflow 3.4");
const { status } = spawnSync(path.join(root, "node_modules/.bin/mocha"), [path.join(root, "test/conformance/coordinator.test.ts"), ...process.argv.slice(2)], {
  cwd: root,
  stdio: "inherit",
  env: { ...process.env, CONFORMANCE_VENV: ".venv-airflow-3.4" },
});
process.exit(status ?? 1);

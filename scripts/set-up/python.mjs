// Builds the Python environments from hashed locks. uv does the work; pip only brings uv in.
import { existsSync } from "node:fs";
import path from "node:path";
import { root, run, SetupError, step } from "./run.mjs";

/** @param {string} python @param {string} folder */
async function makeVenv(python, folder) {
  try {
    await run(python, ["-m", "venv", "--clear", folder]);
  } catch (cause) {
    throw new SetupError(`${python} cannot make a virtual environment. On Debian and Ubuntu: apt install python3-venv.\n${String(cause)}`);
  }
  await run(path.join(root, folder, "bin/python"), [
    "-m",
    "pip",
    "install",
    "-q",
    "--disable-pip-version-check",
    "--require-hashes",
    "-r",
    "scripts/python/bootstrap.lock",
  ]);
}

/** @param {string} python @param {string} folder @param {string} lock @param {string} name */
export async function pythonEnvironment(python, folder, lock, name) {
  const makes = `${folder}/bin/uv`;
  await step({ name, inputs: [lock, "scripts/python/bootstrap.lock"], extra: python, makes }, async () => {
    if (!existsSync(path.join(root, makes))) await makeVenv(python, folder);
    await run(path.join(root, makes), ["pip", "install", "--python", `${folder}/bin/python`, "--require-hashes", "-r", lock]);
  });
}

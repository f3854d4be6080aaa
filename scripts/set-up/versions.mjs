// Finds Node, Python and git, and says what is missing before anything is installed.
import { spawnSync } from "node:child_process";
import { SetupError } from "./run.mjs";

const compare = (/** @type {number[]} */ a, /** @type {number[]} */ b) => a.reduce((order, part, i) => order || part - (b[i] ?? 0), 0);
const parse = (/** @type {string} */ text) => (/(\d+)\.(\d+)(?:\.(\d+))?/.exec(text) ?? []).slice(1, 4).map((part) => Number(part ?? 0));

/** @param {string} program @param {string[]} args */
function versionOf(program, args) {
  const result = spawnSync(program, args, { encoding: "utf8" });
  return result.status === 0 ? parse(result.stdout || result.stderr) : undefined;
}

/** Where to look for a Python: the one that PYTHON names, else what PATH holds. */
const pythons = () => (process.env["PYTHON"] ? [process.env["PYTHON"]] : ["python3", "python3.14", "python3.13", "python3.12", "python3.11", "python"]);

/**
 * A Python from 3.11 to below `end`, or undefined.
 * @param {number[]} end
 * @param {string[]} [candidates]
 */
export function tryFindPython(end, candidates = pythons()) {
  const fits = (/** @type {number[] | undefined} */ v) => v !== undefined && compare(v, [3, 11, 0]) >= 0 && compare(v, end) < 0;
  return candidates.find((name) => fits(versionOf(name, ["--version"])));
}

/** The Python to build environments with; throws where Node, git or Python is missing or too old. */
export function checkVersions() {
  const problems = [];
  if (compare(parse(process.versions.node), [20, 19, 0]) < 0)
    problems.push(`Node ${process.versions.node} is too old: Airloom needs Node 20.19 or newer (https://nodejs.org).`);
  if (!versionOf("git", ["--version"])) problems.push("git was not found: install it with your system's package manager.");
  const python = tryFindPython([3, 15, 0]);
  if (!python) problems.push(`No Python from 3.11 to 3.14 was found (looked for ${pythons().join(", ")}). Install one, or set PYTHON to its path.`);
  if (problems.length > 0) throw new SetupError(problems.join("\n"));
  return /** @type {string} */ (python);
}

/** What will not work on this platform, or undefined where all of it does. */
export function platformLimits() {
  if (process.platform === "linux" && process.arch === "x64") return undefined;
  return (
    `This is ${process.platform}-${process.arch}. Airflow, MLflow, labeling and serving may work, but training does not: ` +
    "its TensorFlow binding is built for Linux x64. Use `docker compose up -d --build` (see README) for the whole system."
  );
}

// The set-up's own options. They stand before --run; what follows belongs to the program that is run, whatever its name.
import { SetupError } from "./run.mjs";

/** What the set-up can make ready, each on its own. */
export const setupParts = ["npm", "python", "tfjs", "env"];

/** @typedef {{ parts: string[], forTest: boolean, omit: string | undefined, program: string | undefined, rest: string[] }} SetupOptions */

const usage = "node scripts/setup.mjs [--for=test] [--parts=npm,python,tfjs,env] [--omit=dev] [--run=PROGRAM [its own arguments]]";

/**
 * Reads the command line; throws where it holds what the set-up does not know.
 * @param {readonly string[]} args
 * @returns {SetupOptions}
 */
export function setupOptions(args) {
  const runAt = args.findIndex((arg) => arg.startsWith("--run="));
  const own = runAt < 0 ? args : args.slice(0, runAt);
  /** @type {SetupOptions} */
  const options = {
    parts: setupParts,
    forTest: false,
    omit: undefined,
    program: runAt < 0 ? undefined : args[runAt]?.slice("--run=".length),
    rest: runAt < 0 ? [] : args.slice(runAt + 1),
  };
  for (const arg of own) {
    const [name, value] = split(arg);
    if (name === "--for" && value === "test") options.forTest = true;
    else if (name === "--omit" && value === "dev") options.omit = value;
    else if (name === "--parts" && value) options.parts = value.split(",").map(knownPart);
    else throw new SetupError(`the set-up does not know "${arg}".\n\nUsage: ${usage}`);
  }
  return options;
}

/** @param {string} arg @returns {[string, string | undefined]} */
function split(arg) {
  const at = arg.indexOf("=");
  return at < 0 ? [arg, undefined] : [arg.slice(0, at), arg.slice(at + 1)];
}

/** @param {string} part */
function knownPart(part) {
  if (!setupParts.includes(part)) throw new SetupError(`--parts knows ${setupParts.join(", ")}, and not "${part}".`);
  return part;
}

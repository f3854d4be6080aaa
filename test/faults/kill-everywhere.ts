// Kills every step of the data's way at many moments, runs it again, and checks that nothing is lost and nothing is there
// twice: for nights, not for CI, whose tests kill at a sample.
//
//   npm run faults [-- --steps ingest,commit --kills 2000 --seed 1]
//   npm run faults -- --steps commit --at 117        one moment alone, with all that it says
//
// Needs a C compiler: a shim that is preloaded counts the calls that change files or send to the database.
import { availableParallelism } from "node:os";
import { Command, InvalidArgumentError } from "commander";
import { type StepReport, tryPrepareKilling } from "./kill-step.ts";
import { type StepName, stepNames } from "./prepared-places.ts";

function readSteps(text: string): StepName[] {
  const names = text.split(",");
  for (const name of names)
    if (!stepNames.includes(name as StepName)) throw new InvalidArgumentError(`The steps are ${stepNames.join(", ")}, and not "${name}".`);
  return stepNames.filter((name) => names.includes(name));
}

function readCount(text: string): number {
  if (!/^[1-9]\d{0,6}$/.test(text)) throw new InvalidArgumentError("It is a number from 1 to 9,999,999.");
  return Number(text);
}

interface Options {
  readonly steps: readonly StepName[];
  readonly kills: number;
  readonly seed: number;
  readonly lanes: number;
  readonly at?: number;
}

const options = new Command("npm run faults --")
  .option("--steps <names>", `some steps, with commas between: ${stepNames.join(", ")}`, readSteps, [...stepNames])
  // Six steps: more than ten thousand.
  .option("--kills <n>", "kills of each step", readCount, 1700)
  .option("--seed <n>", "another seed kills at other moments", readCount, 1)
  .option("--lanes <n>", "kills at the same time", readCount, availableParallelism())
  .option("--at <n>", "kills before this call alone", readCount)
  .parse()
  .opts<Options>();

const killing = await tryPrepareKilling();
if (!killing) {
  console.error("no kills: this machine has no C compiler (cc), or is no Linux");
  process.exit(1);
}
const reports: StepReport[] = [];
try {
  for (const step of options.steps) {
    if (options.at !== undefined) {
      const what = await killing.killAt(step, options.at);
      console.log([`${step}, killed before call ${options.at}:`, ...(what.length > 0 ? what : ["as if nothing had been"])].join("\n  "));
      if (what.length > 0) process.exitCode = 1;
      continue;
    }
    const every = Math.max(1, Math.floor(options.kills / 20));
    const started = Date.now();
    const onKill = (done: number, failed: number) => {
      if (done % every === 0)
        console.log(`${step}: ${done} of ${options.kills} kills, ${failed} failed, ${((Date.now() - started) / done / 1000).toFixed(2)} s each`);
    };
    const report = await killing.killStep(step, { ...options, onKill });
    reports.push(report);
    for (const { at, what } of report.failures.slice(0, 20)) console.log([`${step}, killed before call ${at}:`, ...what.slice(0, 20)].join("\n  "));
  }
} finally {
  await killing.close();
}
for (const { step, calls, kills, late, failures, leftovers } of reports) {
  console.log(
    `${step.padEnd(14)} ${String(calls).padStart(6)} calls ${String(kills).padStart(7)} kills (${late} came too late) ${String(failures.length).padStart(5)} failed`,
  );
  for (const [kind, times] of leftovers) console.log(`${" ".repeat(16)}left behind ${times} times: ${kind}`);
}
const failed = reports.reduce((sum, { failures }) => sum + failures.length, 0);
console.log(failed === 0 ? "passed" : `FAILED: ${failed}`);
if (failed > 0) process.exitCode = 1;

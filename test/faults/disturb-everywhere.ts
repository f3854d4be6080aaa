// Disturbs every step of the data's way at many moments, runs it again, and checks that nothing is lost and nothing is there
// twice; then lets processes work at once, beside a database that goes and comes. For nights: CI has a sample of all of it.
//
//   npm run faults [-- --steps ingest,commit --faults kill --times 2000 --seed 1]
//   npm run faults -- --steps commit --faults full --at 117      one moment alone, with all that it says
//
// Needs a C compiler: a shim that is preloaded counts the calls that change files or send to the database.
import { availableParallelism } from "node:os";
import { Command, InvalidArgumentError } from "commander";
import { type Disturber, type StepReport, tryPrepareDisturber } from "./disturb-step.ts";
import { type FaultKind, faultKinds } from "./fault-run.ts";
import { type StepName, stepNames } from "./prepared-places.ts";
import { type DatabaseFault, databaseFaults, workTogether } from "./together.ts";

function readNames<T extends string>(known: readonly T[]) {
  return (text: string): T[] => {
    const names = text.split(",");
    for (const name of names) if (!known.includes(name as T)) throw new InvalidArgumentError(`There are ${known.join(", ")}, and not "${name}".`);
    return known.filter((name) => names.includes(name));
  };
}

function readCount(text: string): number {
  if (!/^\d{1,7}$/.test(text)) throw new InvalidArgumentError("It is a number from 0 to 9,999,999.");
  return Number(text);
}

/** Six steps: more than ten thousand kills. The other faults last, so that fewer moments differ. */
const usualTimes: Readonly<Record<FaultKind, number>> = { kill: 1700, full: 200, "read-only": 100, clock: 50 };

interface Options {
  readonly steps: readonly StepName[];
  readonly faults: readonly FaultKind[];
  readonly times?: number;
  readonly seed: number;
  readonly lanes: number;
  readonly at?: number;
  readonly together: number;
}

const options = new Command("npm run faults --")
  .option("--steps <names>", `some steps, with commas between: ${stepNames.join(", ")}`, readNames(stepNames), [...stepNames])
  .option("--faults <names>", `some faults: ${faultKinds.join(", ")}`, readNames(faultKinds), [...faultKinds])
  .option("--times <n>", "how often each step meets each fault (as often as is useful)", readCount)
  .option("--seed <n>", "another seed disturbs at other moments", readCount, 1)
  .option("--lanes <n>", "runs at the same time", readCount, availableParallelism())
  .option("--at <n>", "disturbs from this call on, once", readCount)
  .option("--together <seconds>", "how long eight processes work at once: in peace, and beside a database that fails; 0 for not at all", readCount, 600)
  .parse()
  .opts<Options>();

const hint = (what: readonly string[]) => what.slice(0, 20).join("\n  ");

async function disturbOne(disturber: Disturber, at: number): Promise<void> {
  for (const step of options.steps)
    for (const fault of options.faults) {
      const what = await disturber.disturbAt(step, fault, at);
      console.log(`${step}, ${fault} at call ${at}:\n  ${what.length > 0 ? hint(what) : "as if nothing had been"}`);
      if (what.length > 0) process.exitCode = 1;
    }
}

async function disturbMany(disturber: Disturber): Promise<StepReport[]> {
  const reports: StepReport[] = [];
  for (const fault of options.faults)
    for (const step of options.steps) {
      const times = options.times ?? usualTimes[fault];
      const every = Math.max(1, Math.floor(times / 20));
      const started = Date.now();
      const onRun = (done: number, failed: number) => {
        if (done % every === 0)
          console.log(`${step}, ${fault}: ${done} of ${times}, ${failed} failed, ${((Date.now() - started) / done / 1000).toFixed(2)} s each`);
      };
      const report = await disturber.disturb(step, { ...options, fault, times, onRun });
      reports.push(report);
      for (const { at, what } of report.failures.slice(0, 20)) console.log(`${step}, ${fault} at call ${at}:\n  ${hint(what)}`);
    }
  return reports;
}

async function work(fault: DatabaseFault | undefined): Promise<boolean> {
  const { pictures, batches, versions, faults, wrong } = await workTogether({ processes: 8, seconds: options.together, ...(fault ? { fault } : {}) });
  const beside = fault ? `, ${faults} times ${fault}` : "";
  console.log(`eight at once for ${options.together} s${beside}: ${pictures} pictures, ${batches} batches, ${versions} versions, ${wrong.length} wrong`);
  if (wrong.length > 0) console.log(`  ${hint(wrong)}`);
  return wrong.length === 0;
}

const disturber = await tryPrepareDisturber();
if (!disturber) {
  console.error("nothing is disturbed: this machine has no C compiler (cc), or is no Linux");
  process.exit(1);
}
let reports: StepReport[] = [];
try {
  if (options.at === undefined) reports = await disturbMany(disturber);
  else await disturbOne(disturber, options.at);
} finally {
  await disturber.close();
}
let areGood = true;
if (options.at === undefined && options.together > 0) for (const fault of [undefined, ...databaseFaults]) areGood = (await work(fault)) && areGood;
for (const { step, fault, calls, times, late, failures, leftovers } of reports) {
  console.log(
    `${step.padEnd(14)} ${fault.padEnd(10)} ${String(calls).padStart(6)} calls ${String(times).padStart(7)} times (${late} came too late) ${String(failures.length).padStart(5)} failed`,
  );
  for (const [kind, count] of leftovers) console.log(`${" ".repeat(16)}left behind ${count} times: ${kind}`);
}
const failed = reports.reduce((sum, { failures }) => sum + failures.length, 0);
if (failed > 0 || !areGood) process.exitCode = 1;
console.log(process.exitCode ? `FAILED${failed > 0 ? `: ${failed}` : ""}` : "passed");

// All tests: `npm test`. Ends with a line "N passed, N failed".
//
//   npm test -- --only unit,e2e     some parts: checks, compile, unit, numeric, conformance, e2e
//   npm test -- --lanes 1           one after the other
//
// Each file of tests that takes long is a process of its own, two of them run side by side, and what one says is printed
// when it has ended. The tests wait for conditions, and give up late: their time limits are for a quiet machine, times
// AIRLOOM_TEST_PATIENCE, which is 10 where it is not set. On a machine that is still slower, set more.
import { mkdtempSync, rmSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import path from "node:path";
import { Command, InvalidArgumentError } from "commander";
import { startTestPostgres } from "../test/database.ts";
import { runJobs } from "./test/lanes.ts";
import { jobsOf, type PartName, partNames } from "./test/parts.ts";

/** Two on a small machine: what waits and what computes. More cores take more, up to four. */
const usualLanes = Math.max(2, Math.min(4, Math.floor(availableParallelism() / 2)));
const shownSlowest = 10;
const shownLines = 25;

const indent = (text: string) => text.replaceAll(/^/gm, "  ");
const firstLines = (text: string) => text.split("\n").slice(0, shownLines).join("\n");

function readParts(text: string): PartName[] {
  const names = text.split(",").map((name) => name.trim());
  for (const name of names)
    if (!partNames.includes(name as PartName)) throw new InvalidArgumentError(`The parts are ${partNames.join(", ")}, and not "${name}".`);
  return partNames.filter((name) => names.includes(name));
}

function readLanes(text: string): number {
  if (!/^[1-9]\d?$/.test(text)) throw new InvalidArgumentError("It is a number from 1 to 99.");
  return Number(text);
}

const { only, lanes } = new Command("npm test --")
  .description("Runs all tests, or some parts of them.")
  .option("--only <parts>", `parts, with commas between: ${partNames.join(", ")}`, readParts)
  .option("--lanes <n>", "how many run side by side", readLanes, usualLanes)
  .showHelpAfterError()
  .parse()
  .opts<{ only?: PartName[]; lanes: number }>();

const reports = mkdtempSync(path.join(tmpdir(), "airloom-test-"));
const started = Date.now();
const { jobs, notes } = jobsOf(only ?? partNames, reports);
for (const note of notes) console.log(note);
// One PostgreSQL for all of them, each test with a database of its own.
const areTests = (only ?? partNames).some((part) => ["unit", "conformance"].includes(part));
const postgres = areTests && !process.env["AIRLOOM_TEST_DATABASE_URL"] ? await startTestPostgres() : undefined;
if (postgres) process.env["AIRLOOM_TEST_DATABASE_URL"] = postgres.url;
const { ended, interrupted } = await runJobs(jobs, lanes);
await postgres?.stop();
rmSync(reports, { recursive: true, force: true });

const slowest = (title: string, rows: readonly (readonly [seconds: number, name: string])[]) => {
  const shown = rows.toSorted(([a], [b]) => b - a).slice(0, shownSlowest);
  if (shown.length > 1) console.log([`\n${title}`, ...shown.map(([seconds, name]) => `${seconds.toFixed(1).padStart(7)} s  ${name}`)].join("\n"));
};
slowest(
  "The slowest tests",
  ended.flatMap(({ outcome }) => outcome.tests.map(({ title, ms }) => [ms / 1000, title] as const)),
);
slowest(
  "The slowest parts",
  ended.map(({ job, seconds }) => [seconds, job.title] as const),
);
const failed = ended.filter(({ outcome }) => outcome.failed > 0);
// Once more what failed, since the above is long and its beginning may be cut off where it is kept.
for (const { job, outcome } of failed) {
  console.log(`\nFailed: ${job.title} (${outcome.failed})`);
  for (const { title, why } of outcome.failures) console.log(indent(`${title}\n${indent(firstLines(why))}`));
}
if (interrupted) console.log(`\nInterrupted: ${jobs.length - ended.length} of ${jobs.length} did not run.`);
console.log(`\nAll of it took ${Math.round((Date.now() - started) / 1000)} s.`);
const total = (count: "passed" | "failed") => ended.reduce((sum, { outcome }) => sum + outcome[count], 0);
console.log(`${total("passed")} passed, ${total("failed")} failed`);
process.exit(interrupted ? 130 : total("failed") === 0 && total("passed") > 0 ? 0 : 1);

import type { DagGraph } from "../ir/ir.ts";
import { assetsIn, type CronSchedule } from "../ir/schedule.ts";
import { cronProblem } from "./cron.ts";
import type { Diagnostic } from "./diagnostic.ts";
import { isBefore, type Target } from "./target.ts";
import type { Schema } from "./types.ts";

/** What is wrong with when a DAG runs. */
export function checkSchedule(graph: DagGraph, conf: Schema, target: Target): Diagnostic[] {
  const at = graph.definedAt;
  const found: Diagnostic[] = [];
  const wrong = (code: string, message: string) => found.push({ code, message, at });
  for (const [name, date] of [
    ["startDate", graph.startDate],
    ["endDate", graph.endDate],
  ] as const)
    if (date !== undefined && !isDay(date)) wrong("AL305", `${name} "${date}" is not a day: write YYYY-MM-DD`);
  if (graph.startDate && graph.endDate && graph.endDate < graph.startDate) wrong("AL305", `endDate ${graph.endDate} is before startDate ${graph.startDate}`);
  const { schedule } = graph;
  if (schedule.kind === "none") {
    if (graph.catchup) wrong("AL306", `catchup of DAG ${graph.id} does nothing without a schedule`);
    return found;
  }
  const crons: CronSchedule | undefined = schedule.kind === "cron" ? schedule : schedule.kind === "assetsOrTime" ? schedule.time : undefined;
  for (const text of schedule.kind === "text" ? [schedule.text] : (crons?.expressions ?? [])) {
    const problem = cronProblem(text);
    if (problem) wrong("AL301", `schedule "${text}": ${problem}`);
  }
  if (crons && !isTimezone(crons.timezone)) wrong("AL304", `"${crons.timezone}" is no timezone: write a name of the IANA database, such as "Europe/Berlin"`);
  if (crons?.interval && crons.expressions.length > 1) wrong("AL301", "only one cron expression can have data intervals");
  if (schedule.kind === "text" && schedule.text === "@continuous" && graph.maxActiveRuns !== 1)
    wrong("AL307", "@continuous needs maxActiveRuns: 1: each run starts when the one before has ended");
  // Airflow 2 wants a date for a DAG that only assets start, too.
  if ((schedule.kind !== "assets" || isBefore(target, "3.0")) && !graph.startDate)
    wrong("AL302", `DAG ${graph.id} has a schedule${graph.catchup ? " and catchup" : ""} but no startDate: say from when on it runs`);
  if (schedule.kind === "assets" || schedule.kind === "assetsOrTime")
    for (const { name } of assetsIn(schedule.condition))
      if (!/^[\x20-\x7e]{1,1500}$/.test(name) || name.trim() === "") wrong("AL308", `"${name}" is no asset's name: use 1 to 1500 ASCII characters`);
  const properties = conf["properties"] as Record<string, Schema>;
  for (const name of conf["required"] as string[])
    if (properties[name]?.["default"] === undefined)
      wrong("AL303", `conf.${name} has no @default, so a scheduled run of ${graph.id} would have no value for it`);
  return found;
}

const isDay = (date: string) => /^\d{4}-\d{2}-\d{2}$/.test(date) && new Date(`${date}T00:00:00Z`).toISOString().startsWith(date);

function isTimezone(name: string): boolean {
  try {
    return Intl.DateTimeFormat("en", { timeZone: name }).resolvedOptions().timeZone !== "";
  } catch {
    return false;
  }
}

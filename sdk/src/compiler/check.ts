import { Ajv } from "ajv";
import type { DagGraph, TaskNode } from "../ir/ir.ts";
import type { Diagnostic } from "./diagnostic.ts";
import type { Schema } from "./types.ts";

const idPattern = /^[\w.-]{1,250}$/;
const presets = ["@once", "@continuous", "@hourly", "@daily", "@weekly", "@monthly", "@quarterly", "@yearly"];

/** Everything that can be seen to be wrong in a graph and its conf before it runs. */
export function checkGraph(graph: DagGraph, conf: Schema): Diagnostic[] {
  return [...checkIds(graph), ...checkCycles(graph), ...checkSchedule(graph, conf), ...checkDefaults(graph, conf)];
}

function checkIds(graph: DagGraph): Diagnostic[] {
  const wrong = (id: string) => `"${id}" is not an id that Airflow takes: use 1 to 250 letters, digits, "_", "-" and "."`;
  const found: Diagnostic[] = idPattern.test(graph.id) ? [] : [{ code: "AL101", message: wrong(graph.id), at: graph.definedAt }];
  if (graph.tasks.length === 0) found.push({ code: "AL104", message: `DAG ${graph.id} has no tasks: call one in its function`, at: graph.definedAt });
  for (const task of graph.tasks) if (!idPattern.test(task.id)) found.push({ code: "AL101", message: wrong(task.id), at: task.placedAt });
  return found;
}

/** A reference can only point back, so a cycle takes two tasks that name each other by `after` through a variable. */
function checkCycles(graph: DagGraph): Diagnostic[] {
  const byId = new Map(graph.tasks.map((task) => [task.id, task]));
  const state = new Map<string, "open" | "done">();
  const found: Diagnostic[] = [];
  const visit = (task: TaskNode, trail: readonly string[]) => {
    if (state.get(task.id) === "done") return;
    if (state.get(task.id) === "open") {
      const cycle = [...trail.slice(trail.indexOf(task.id)), task.id].join(" → ");
      found.push({ code: "AL103", message: `the tasks wait for each other: ${cycle}`, at: task.placedAt });
      return;
    }
    state.set(task.id, "open");
    for (const id of task.upstream) {
      const before = byId.get(id);
      if (before) visit(before, [...trail, task.id]);
    }
    state.set(task.id, "done");
  };
  for (const task of graph.tasks) visit(task, []);
  return found;
}

function checkSchedule(graph: DagGraph, conf: Schema): Diagnostic[] {
  if (graph.schedule === null) return [];
  const at = graph.definedAt;
  const found: Diagnostic[] = [];
  const problem = cronProblem(graph.schedule);
  if (problem) found.push({ code: "AL301", message: `schedule "${graph.schedule}": ${problem}`, at });
  if (!graph.startDate) found.push({ code: "AL302", message: `DAG ${graph.id} has a schedule but no startDate: say from when on it runs`, at });
  const properties = conf["properties"] as Record<string, Schema>;
  for (const name of conf["required"] as string[])
    if (properties[name]?.["default"] === undefined)
      found.push({ code: "AL303", message: `conf.${name} has no @default, so a scheduled run of ${graph.id} would have no value for it`, at });
  return found;
}

const fields = [
  ["minute", 0, 59],
  ["hour", 0, 23],
  ["day of month", 1, 31],
  ["month", 1, 12],
  ["day of week", 0, 7],
] as const;
const names = /\b(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec|sun|mon|tue|wed|thu|fri|sat)\b/gi;

/** What is wrong with a cron expression of five fields, or undefined. */
export function cronProblem(cron: string): string | undefined {
  if (presets.includes(cron)) return undefined;
  if (cron.startsWith("@")) return `is none of ${presets.join(", ")}`;
  const parts = cron.trim().split(/\s+/);
  if (parts.length !== 5) return `has ${parts.length} fields; a cron expression has five: minute hour day month weekday`;
  for (const [i, [name, low, high]] of fields.entries()) {
    const part = i >= 3 ? parts[i]!.replace(names, String(low)) : parts[i]!;
    for (const item of part.split(",")) {
      const match = /^(\*|(\d+)(?:-(\d+))?)(?:\/(\d+))?$/.exec(item);
      if (!match) return `"${parts[i]}" is not a ${name}`;
      const [, , from, to, step] = match;
      for (const value of [from, to])
        if (value !== undefined && (Number(value) < low || Number(value) > high)) return `${name} ${value} is not within ${low}–${high}`;
      if (from !== undefined && to !== undefined && Number(from) > Number(to)) return `${name} ${from}-${to} runs backwards`;
      if (step !== undefined && Number(step) === 0) return `${name} has a step of 0`;
    }
  }
  return undefined;
}

/** Each default must fit its own schema, or every run without a conf would fail. */
function checkDefaults(graph: DagGraph, conf: Schema): Diagnostic[] {
  const ajv = new Ajv({ strict: false });
  return Object.entries(conf["properties"] as Record<string, Schema>).flatMap(([name, schema]) => {
    if (schema["default"] === undefined) return [];
    const validate = ajv.compile(schema);
    if (validate(schema["default"])) return [];
    const why = validate.errors?.[0]?.message ?? "does not fit";
    return [{ code: "AL203", message: `conf.${name}: its @default ${JSON.stringify(schema["default"])} ${why}`, at: graph.definedAt }];
  });
}

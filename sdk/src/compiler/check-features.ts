import type { CallSite } from "../authoring/call-site.ts";
import { type DagGraph, type TaskNode, triggerRules } from "../ir/ir.ts";
import { assetsIn } from "../ir/schedule.ts";
import type { Diagnostic } from "./diagnostic.ts";
import { isBefore, isTarget, type Target } from "./target.ts";

interface Feature {
  readonly what: string;
  readonly since: Target;
  readonly at: CallSite | undefined;
}

/** What a DAG uses that the Airflow it is compiled for does not have yet. */
export function checkFeatures(graph: DagGraph, target: Target): Diagnostic[] {
  return featuresOf(graph)
    .filter(({ since }) => isBefore(target, since))
    .map(({ what, since, at }) => ({ code: "AL401", message: `${what} needs Airflow ${since} or newer, and the target is ${target}`, at }));
}

/** Everything that not every Airflow has. */
export function featuresOf(graph: DagGraph): Feature[] {
  const at = graph.definedAt;
  const { schedule } = graph;
  const features: Feature[] = [];
  const uses = (what: string, since: Target, where = at) => features.push({ what, since, at: where });
  if (schedule.kind === "cron" && schedule.expressions.length > 1) uses("a schedule of several crons", "3.0");
  const assets = schedule.kind === "assets" || schedule.kind === "assetsOrTime" ? assetsIn(schedule.condition) : [];
  if (assets.some((asset) => asset.kind === "asset" && asset.watchers.length > 0)) uses("an asset with watchers", "3.0");
  if (graph.deadlines.length > 0) uses("a deadline", "3.1");
  for (const group of graph.groups) if (group.displayName !== undefined) uses("a group's displayName", "3.0", group.placedAt);
  for (const task of graph.tasks) features.push(...featuresOfTask(task));
  return features;
}

function featuresOfTask(task: TaskNode): Feature[] {
  const at = task.placedAt;
  const features: Feature[] = [];
  const rule = triggerRules[task.triggerRule];
  if (rule !== "2.11") features.push({ what: `triggerRule "${task.triggerRule}"`, since: rule, at });
  if (typeof task.settings.retryBackoff === "number") features.push({ what: "a number as retryBackoff", since: "3.2", at });
  if (task.kind === "operator" && task.since !== undefined && isTarget(task.since)) features.push({ what: task.operator.className, since: task.since, at });
  if (task.kind !== "operator" && task.kind !== "items" && task.transport === "coordinator") features.push({ what: "the coordinator", since: "3.3", at });
  return features;
}

import type { AssetRef } from "../ir/ir.ts";
import type { AssetCondition, CronSchedule, Schedule } from "../ir/schedule.ts";
import { construct, delta, literal, type Names } from "./python-text.ts";

/** A schedule as Python. */
export function scheduleText(schedule: Schedule, names: Names): string {
  switch (schedule.kind) {
    case "none":
      return "None";
    case "text":
      return literal(schedule.text);
    case "every":
      names.use("timedelta");
      return delta(schedule.seconds);
    case "cron":
      return cronText(schedule, names);
    case "assets": {
      const { condition } = schedule;
      const isList = "of" in condition && condition.kind === "all" && condition.of.every((part) => !("of" in part));
      return isList ? `[${condition.of.map((part) => conditionText(part, names)).join(", ")}]` : topLevel(condition, names);
    }
    case "assetsOrTime": {
      const time = cronText(schedule.time, names);
      return `${names.use("AssetOrTimeSchedule")}(timetable=${time}, assets=${conditionText(schedule.condition, names)})`;
    }
  }
}

/** Airflow takes one asset only in a list. */
const topLevel = (condition: AssetCondition, names: Names) => ("of" in condition ? conditionText(condition, names) : `[${assetText(condition, names)}]`);

function cronText({ expressions, timezone, interval }: CronSchedule, names: Names): string {
  const name = interval ? "CronDataIntervalTimetable" : expressions.length > 1 ? "MultipleCronTriggerTimetable" : "CronTriggerTimetable";
  return `${names.use(name)}(${expressions.map(literal).join(", ")}, timezone=${literal(timezone)})`;
}

function conditionText(condition: AssetCondition, names: Names): string {
  if (!("of" in condition)) return assetText(condition, names);
  return `${names.use(condition.kind === "all" ? "AssetAll" : "AssetAny")}(${condition.of.map((part) => conditionText(part, names)).join(", ")})`;
}

/** An asset or an alias as Python. */
export function assetText(asset: AssetRef, names: Names): string {
  if (asset.kind === "alias") return `${names.use("AssetAlias")}(${literal(asset.name)})`;
  const watchers = asset.watchers.map((watcher) => `${names.use("AssetWatcher")}(name=${literal(watcher.name)}, trigger=${construct(watcher.trigger, names)})`);
  const options = [
    literal(asset.name),
    ...(asset.uri === undefined ? [] : [`uri=${literal(asset.uri)}`]),
    ...(asset.group === undefined ? [] : [`group=${literal(asset.group)}`]),
    ...(asset.extra === undefined ? [] : [`extra=${literal(asset.extra)}`]),
    ...(watchers.length === 0 ? [] : [`watchers=[${watchers.join(", ")}]`]),
  ];
  return `${names.use("Asset")}(${options.join(", ")})`;
}

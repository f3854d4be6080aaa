import type { CronSchedule, Schedule } from "../ir/schedule.ts";
import { type AnyAsset, type AssetExpression, conditionOf } from "./asset.ts";
import { type Duration, secondsOf } from "./duration.ts";

type Preset = "@once" | "@continuous" | "@hourly" | "@daily" | "@weekly" | "@monthly" | "@quarterly" | "@yearly";
/** Five fields; the compiler looks into them. */
export type CronText = `${string} ${string} ${string} ${string} ${string}`;
type Region = "Africa" | "America" | "Antarctica" | "Arctic" | "Asia" | "Atlantic" | "Australia" | "Europe" | "Indian" | "Pacific" | "Etc";
/** A name of the IANA database, such as "Europe/Berlin"; the compiler looks it up. */
export type Timezone = "UTC" | `${Region}/${string}`;

/** How a cron schedule is read. */
export interface CronOptions {
  /** The clock that it follows, summer time included. @default "UTC" */
  readonly timezone?: Timezone;
  /** Whether a run stands for the time since the one before (Airflow's data interval). @default false */
  readonly interval?: boolean;
}

/** A cron schedule in a timezone. */
export interface Cron {
  readonly kind: "cron";
  readonly schedule: CronSchedule;
}
/** A schedule with a fixed time between runs. */
export interface Every {
  readonly kind: "every";
  readonly schedule: Extract<Schedule, { kind: "every" }>;
}
/** Runs by the clock and on assets, whichever comes. */
export interface AssetsOrTime {
  readonly kind: "assetsOrTime";
  readonly schedule: Extract<Schedule, { kind: "assetsOrTime" }>;
}

/** A cron expression, or several, in a timezone: cron("0 6 * * mon-fri", { timezone: "Europe/Berlin" }). */
export function cron(expression: CronText | readonly CronText[], { timezone = "UTC", interval = false }: CronOptions = {}): Cron {
  return { kind: "cron", schedule: { kind: "cron", expressions: [expression].flat(), timezone, interval } };
}

/** A fixed time between two runs: every("15m"). */
export const every = (duration: Duration): Every => ({ kind: "every", schedule: { kind: "every", seconds: secondsOf(duration) } });

/** When the clock says so, and when the assets are new. */
export const assetsOrTime = (assets: AssetExpression, time: Cron): AssetsOrTime => ({
  kind: "assetsOrTime",
  schedule: { kind: "assetsOrTime", condition: conditionOf(assets), time: time.schedule },
});

/** When a DAG runs by itself; null: only when it is triggered. A list of assets means all of them. */
export type ScheduleOption = null | Preset | CronText | Cron | Every | AssetsOrTime | AssetExpression | readonly AnyAsset[];

/** The plain form of a schedule. */
export function scheduleOf(option: ScheduleOption): Schedule {
  if (option === null) return { kind: "none" };
  if (typeof option === "string") return { kind: "text", text: option };
  if (isList(option)) return { kind: "assets", condition: conditionOf({ kind: "all", of: option }) };
  if ("schedule" in option) return option.schedule;
  return { kind: "assets", condition: conditionOf(option) };
}

const isList = (option: object): option is readonly AnyAsset[] => Array.isArray(option);

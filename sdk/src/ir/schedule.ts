import type { AssetRef } from "./ir.ts";

/** Assets that must all be new, or one of which must. */
export type AssetCondition = AssetRef | { readonly kind: "all" | "any"; readonly of: readonly AssetCondition[] };

/** A cron schedule; `interval`: whether a run stands for the time before it (Airflow's data interval). */
export interface CronSchedule {
  readonly kind: "cron";
  readonly expressions: readonly string[];
  readonly timezone: string;
  readonly interval: boolean;
}

/** When a DAG runs by itself. */
export type Schedule =
  | { readonly kind: "none" }
  /** A cron expression or a preset, read as Airflow is set up to read them. */
  | { readonly kind: "text"; readonly text: string }
  | CronSchedule
  | { readonly kind: "every"; readonly seconds: number }
  | { readonly kind: "assets"; readonly condition: AssetCondition }
  | { readonly kind: "assetsOrTime"; readonly condition: AssetCondition; readonly time: CronSchedule };

/** The assets and aliases of a condition. */
export function assetsIn(condition: AssetCondition): AssetRef[] {
  return "of" in condition ? condition.of.flatMap(assetsIn) : [condition];
}

import type { CallSite } from "../authoring/call-site.ts";
import type { Json } from "../authoring/json.ts";

/** A value that is known when the DAG runs. */
export type Expr =
  | { readonly kind: "literal"; readonly value: Json }
  | { readonly kind: "conf"; readonly path: readonly PathPart[] }
  | { readonly kind: "result"; readonly taskId: string; readonly path: readonly PathPart[] }
  | { readonly kind: "template"; readonly parts: readonly Expr[] }
  | { readonly kind: "list"; readonly items: readonly Expr[] }
  | { readonly kind: "object"; readonly fields: Readonly<Record<string, Expr>> };

export type PathPart = string | number;

/** The trigger rules that Airflow 2.11 and 3.x share. */
export const triggerRules = [
  "all_success",
  "all_failed",
  "all_done",
  "all_skipped",
  "one_success",
  "one_failed",
  "one_done",
  "none_failed",
  "none_failed_min_one_success",
  "none_skipped",
  "always",
] as const;

export type TriggerRule = (typeof triggerRules)[number];

/** A task as it stands in a DAG. */
export interface TaskNode {
  readonly kind: "task" | "sensor";
  readonly id: string;
  readonly inputs: Readonly<Record<string, Expr>>;
  /** Ids of the tasks that come directly before it, sorted. */
  readonly upstream: readonly string[];
  readonly retries: number | undefined;
  readonly retryDelaySeconds: number | undefined;
  readonly timeoutSeconds: number | undefined;
  /** Sensors only. */
  readonly pokeIntervalSeconds: number | undefined;
  readonly triggerRule: TriggerRule;
  readonly pool: string | undefined;
  /** How Airflow reaches Node; the coordinator is to become a second one. */
  readonly transport: "spawn";
  /** Where it was placed, and where the task was defined. */
  readonly placedAt: CallSite | undefined;
  readonly definedAt: CallSite | undefined;
}

/** A whole DAG, plain and frozen: all that the emitter gets to see. */
export interface DagGraph {
  readonly kind: "dag";
  readonly id: string;
  readonly schedule: string | null;
  readonly retries: number;
  readonly retryDelaySeconds: number;
  readonly startDate: string | undefined;
  readonly catchup: boolean;
  readonly maxActiveRuns: number | undefined;
  readonly tags: readonly string[];
  readonly tasks: readonly TaskNode[];
  readonly definedAt: CallSite | undefined;
}

/** Freezes a plain value and all that it holds. */
export function deepFreeze<T>(value: T): T {
  if (typeof value === "object" && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    for (const part of Object.values(value)) deepFreeze(part);
  }
  return value;
}

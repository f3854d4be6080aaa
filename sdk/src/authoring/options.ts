import type { CallbackEvent, Callbacks, CallbackTarget, Transport, TriggerRule } from "../ir/ir.ts";
import type { TaskSettings } from "../ir/settings.ts";
import type { AnyAsset } from "./asset.ts";
import type { TaskContext } from "./context.ts";
import { type Duration, secondsOf } from "./duration.ts";
import type { Edgeable } from "./edges.ts";
import type { Json } from "./json.ts";
import type { RunInOption } from "./run-in.ts";
import { type Notifier, pythonObjectOf } from "./python-object.ts";

/** What a callback is told of the task it belongs to. */
export interface CallbackInfo {
  readonly event: CallbackEvent;
  /** The state that the task, or the run, came to. */
  readonly state: string;
  /** What went wrong, where something did. */
  readonly error: string | undefined;
}

/** Called after a task's end, beside it: its own failure is logged and changes nothing. */
export type Callback = (info: CallbackInfo, context: TaskContext) => Promise<void> | void;

/** A TypeScript function, a notifier of Airflow's, or several. */
export type CallbackOption = Callback | Notifier | readonly (Callback | Notifier)[];

/** How a task runs. All of it can be said for a DAG or a group (`defaults`), where the task is defined, and where it is placed. */
export interface TaskDefaults {
  /** Further tries after a failure. @default the DAG's, else 0 */
  readonly retries?: number;
  /** Time between tries. @default the DAG's, else "30s" */
  readonly retryDelay?: Duration;
  /** true doubles the delay with each try; a number multiplies it (Airflow 3.2 and newer). @default false */
  readonly retryBackoff?: boolean | number;
  readonly maxRetryDelay?: Duration;
  /** A try that takes longer is ended and counts as failed. @default none */
  readonly timeout?: Duration;
  readonly pool?: string;
  /** Slots of the pool that it takes. @default 1 */
  readonly poolSlots?: number;
  /** Higher goes first where slots are short. @default 1 */
  readonly priorityWeight?: number;
  readonly weightRule?: "downstream" | "upstream" | "absolute";
  /** For executors with queues, such as Celery's. */
  readonly queue?: string;
  readonly executor?: string;
  readonly executorConfig?: Json;
  /** Instances that may run at once, over all runs. */
  readonly maxActivePerDag?: number;
  /** Instances that may run at once in one run. */
  readonly maxActivePerRun?: number;
  /** Runs only if it succeeded in the run before. @default false */
  readonly dependsOnPast?: boolean;
  readonly waitForDownstream?: boolean;
  readonly owner?: string;
}

/** A task's own options. */
export interface TaskOptions extends TaskDefaults {
  readonly displayName?: string;
  /** Markdown, shown in Airflow. @default the doc comment */
  readonly doc?: string;
  /** Params of this task alone, over those of the DAG. */
  readonly params?: Readonly<Record<string, Json>>;
  /** Each property of the result also becomes an XCom of its own. @default false */
  readonly multipleOutputs?: boolean;
  /** What it reads and makes: Airflow draws it, and runs DAGs that are scheduled on it. */
  readonly inlets?: readonly AnyAsset[];
  readonly outlets?: readonly AnyAsset[];
  readonly onExecute?: CallbackOption;
  readonly onSuccess?: CallbackOption;
  readonly onFailure?: CallbackOption;
  readonly onRetry?: CallbackOption;
  readonly onSkipped?: CallbackOption;
  /** How Airflow reaches Node. @default what the compiler finds best for the target */
  readonly transport?: Transport;
  /** An image to run in: `container(…)` or `pod(…)`. @default Airflow's worker */
  readonly runIn?: RunInOption;
}

/** How a sensor waits. */
export interface SensorOptions extends TaskOptions {
  /** Between two looks: "reschedule" and "defer" hold no worker slot, "poke" does. @default "reschedule" */
  readonly waiting?: "reschedule" | "poke" | "defer";
  /** Time between two looks. @default "30s" */
  readonly pokeInterval?: Duration;
  /** Doubles the time between looks. @default false */
  readonly pokeBackoff?: boolean;
  readonly maxPokeInterval?: Duration;
  /** The sensor fails when it has waited this long; it is no limit for one look. @default "7d" */
  readonly timeout?: Duration;
  /** Skip instead of failing. @default false */
  readonly softFail?: boolean;
}

/** Where and how one call of a task stands in the DAG. */
export interface Placement extends TaskOptions {
  /** @default the task's name */
  readonly id?: string;
  /** What must come first though no result of it is used: tasks, groups, or `label("why", task)`. */
  readonly after?: Edgeable | readonly Edgeable[];
  /** @default "all_success" */
  readonly triggerRule?: TriggerRule;
  /** Makes it a setup: it runs before what uses it, and is left out with it. */
  readonly setup?: boolean;
  /** Makes it a teardown of these setups: it runs however the work between them ends. */
  readonly teardown?: Edgeable | readonly Edgeable[];
  /** Whether a failed teardown fails the run. @default false */
  readonly failRun?: boolean;
}

/** Where a sensor stands, and how it waits there. */
export type SensorPlacement = Placement & Omit<SensorOptions, keyof TaskOptions>;

/** Where a mapped task stands. */
export interface MappedPlacement extends Placement {
  /** Names each instance in Airflow: an input's name, or Jinja text such as "{{ task.inputs['file'] }}". */
  readonly instanceName?: string;
}

const durations = {
  retryDelay: "retryDelaySeconds",
  maxRetryDelay: "maxRetryDelaySeconds",
  timeout: "timeoutSeconds",
  pokeInterval: "pokeIntervalSeconds",
  maxPokeInterval: "maxPokeIntervalSeconds",
} as const;

const plain = [
  "retries",
  "retryBackoff",
  "pool",
  "poolSlots",
  "priorityWeight",
  "weightRule",
  "queue",
  "executor",
  "executorConfig",
  "maxActivePerDag",
  "maxActivePerRun",
  "dependsOnPast",
  "waitForDownstream",
  "owner",
  "displayName",
  "doc",
  "params",
  "instanceName",
  "multipleOutputs",
  "respectTriggerRules",
  "waiting",
  "pokeBackoff",
  "softFail",
] as const satisfies readonly (keyof TaskSettings)[];

/** Options as plain settings; throws a RangeError for a duration that is none. */
export function settingsOf(options: object): TaskSettings {
  const given = options as Record<string, unknown>;
  const settings: Record<string, unknown> = {};
  for (const key of plain) if (given[key] !== undefined) settings[key] = given[key];
  for (const [key, name] of Object.entries(durations)) if (given[key] !== undefined) settings[name] = secondsOf(given[key] as Duration);
  return settings as TaskSettings;
}

const eventOptions = { onExecute: "execute", onSuccess: "success", onFailure: "failure", onRetry: "retry", onSkipped: "skipped" } as const;
type EventOptions = { readonly [K in keyof typeof eventOptions]?: CallbackOption | undefined };

/** The callbacks of an options object: their plain description, and the functions it points to by index. */
export function callbacksOf(options: EventOptions): { callbacks: Callbacks; functions: Callback[] } {
  const functions: Callback[] = [];
  const callbacks: Partial<Record<CallbackEvent, CallbackTarget[]>> = {};
  for (const [option, event] of Object.entries(eventOptions)) {
    const targets = [options[option as keyof EventOptions] ?? []].flat() as (Callback | Notifier)[];
    if (targets.length > 0)
      callbacks[event] = targets.map((target) =>
        typeof target === "function" ? { kind: "function", index: functions.push(target) - 1 } : { kind: "notifier", ...pythonObjectOf(target) },
      );
  }
  return { callbacks, functions };
}

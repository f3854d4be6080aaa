import { type DagGraph, type Deadline, deepFreeze } from "../ir/ir.ts";
import { type CallSite, callSite } from "./call-site.ts";
import type { RunValues } from "./context.ts";
import { type Duration, secondsOf } from "./duration.ts";
import { type BuildProblem, collect, type PlacedCode } from "./graph-builder.ts";
import { type Callback, type CallbackOption, callbacksOf, settingsOf, type TaskDefaults } from "./options.ts";
import { type Notifier, pythonObjectOf } from "./python-object.ts";
import { makeRef, type Ref } from "./ref.ts";
import { scheduleOf, type ScheduleOption } from "./schedule.ts";

/** Tells someone when a run has not ended in time (Airflow 3.1 and newer). */
export interface DeadlineOption {
  /** From when the time counts: the run's logical date, when it was queued, or a fixed moment. */
  readonly from: "logical_date" | "queued_at" | { readonly at: string };
  readonly within: Duration;
  readonly notify: Notifier;
}

/** When and how a DAG runs. */
export interface DagOptions {
  /** When it runs by itself: a cron expression, a preset, cron(…), every(…), assets; null: only when triggered. */
  readonly schedule: ScheduleOption;
  /** Further tries of each task after a failure. @default 0 */
  readonly retries?: number;
  /** @default "30s" */
  readonly retryDelay?: Duration;
  /** What tasks do where they say nothing else. */
  readonly defaults?: TaskDefaults;
  /** The first date it is scheduled for, YYYY-MM-DD in UTC; needed with a cron or timed schedule. */
  readonly startDate?: string;
  /** The last date it is scheduled for, YYYY-MM-DD in UTC. */
  readonly endDate?: string;
  /** Whether dates before now are made up for. @default false */
  readonly catchup?: boolean;
  /** @default Airflow's own */
  readonly maxActiveRuns?: number;
  /** Tasks that may run at once in one run. @default Airflow's own */
  readonly maxActiveTasks?: number;
  /** The DAG is paused after this many failed runs in a row. @default never */
  readonly maxConsecutiveFailedRuns?: number;
  /** A run that takes longer fails. @default none */
  readonly runTimeout?: Duration;
  /** The first failed task ends the run; all trigger rules must then be all_success. @default false */
  readonly failFast?: boolean;
  /** @default Airflow's own */
  readonly pausedOnCreation?: boolean;
  readonly displayName?: string;
  /** Markdown, shown in Airflow. @default the doc comment of the default export */
  readonly doc?: string;
  readonly tags?: readonly string[];
  /** Links of owners' names in Airflow. */
  readonly ownerLinks?: Readonly<Record<string, string>>;
  /** What roles may do with it: { Viewer: { DAGs: ["can_read"] } }. */
  readonly accessControl?: Readonly<Record<string, Readonly<Record<string, readonly string[]>>>>;
  /** Called by the DAG processor when a run ends: TypeScript functions need Node there. */
  readonly onSuccess?: CallbackOption;
  readonly onFailure?: CallbackOption;
  readonly deadlines?: readonly DeadlineOption[];
}

/** What a DAG function gets. */
export interface DagScope<C> {
  /** What the person who triggers the run chose, or the defaults. */
  readonly conf: Ref<C>;
  /** The run itself: its id and dates. */
  readonly run: Ref<RunValues>;
}

/** A graph with the code of its tasks, and what is wrong with it. */
export interface BuiltDag {
  readonly graph: DagGraph;
  readonly code: ReadonlyMap<string, PlacedCode>;
  /** The DAG's own callbacks, by the index in its graph. */
  readonly functions: readonly Callback[];
  readonly problems: readonly BuildProblem[];
}

/** A DAG module's default export. */
export interface Dag {
  readonly kind: "dag";
  readonly id: string;
  readonly definedAt: CallSite | undefined;
  /** Runs the DAG function. */
  build(): BuiltDag;
}

/** Defines a DAG. `C` is its conf, which becomes Airflow's params and trigger form. */
export function dag<C = Record<string, never>>(id: string, options: DagOptions, body: (scope: DagScope<C>) => void): Dag {
  const definedAt = callSite(dag);
  return {
    kind: "dag",
    id,
    definedAt,
    build() {
      const scope = { conf: makeRef<C>({ kind: "conf", path: [] }), run: makeRef<RunValues>({ kind: "run", path: [] }) };
      const { tasks, groups, code, problems } = collect(() => body(scope));
      const { callbacks, functions } = callbacksOf(options);
      return { graph: graphOf(id, options, callbacks, tasks, groups, definedAt), code, functions, problems };
    },
  };
}

function graphOf(
  id: string,
  options: DagOptions,
  callbacks: DagGraph["callbacks"],
  tasks: DagGraph["tasks"],
  groups: DagGraph["groups"],
  definedAt: CallSite | undefined,
): DagGraph {
  return deepFreeze<DagGraph>({
    kind: "dag",
    id,
    schedule: scheduleOf(options.schedule),
    defaults: {
      ...settingsOf(options.defaults ?? {}),
      retries: options.retries ?? options.defaults?.retries ?? 0,
      retryDelaySeconds: secondsOf(options.retryDelay ?? options.defaults?.retryDelay ?? "30s"),
    },
    startDate: options.startDate,
    endDate: options.endDate,
    catchup: options.catchup ?? false,
    maxActiveRuns: options.maxActiveRuns,
    maxActiveTasks: options.maxActiveTasks,
    maxConsecutiveFailedRuns: options.maxConsecutiveFailedRuns,
    runTimeoutSeconds: options.runTimeout === undefined ? undefined : secondsOf(options.runTimeout),
    failFast: options.failFast ?? false,
    pausedOnCreation: options.pausedOnCreation,
    displayName: options.displayName,
    doc: options.doc,
    tags: [...(options.tags ?? [])],
    ownerLinks: { ...options.ownerLinks },
    accessControl: { ...options.accessControl },
    callbacks,
    deadlines: (options.deadlines ?? []).map(deadlineOf),
    groups: [...groups],
    tasks: [...tasks],
    definedAt,
  });
}

const deadlineOf = ({ from, within, notify }: DeadlineOption): Deadline => ({
  reference: from,
  withinSeconds: secondsOf(within),
  notify: pythonObjectOf(notify),
});

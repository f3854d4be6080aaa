import { type DagGraph, deepFreeze } from "../ir/ir.ts";
import { type CallSite, callSite } from "./call-site.ts";
import { type Duration, secondsOf } from "./duration.ts";
import { type BuildProblem, collect } from "./graph-builder.ts";
import { makeRef, type Ref } from "./ref.ts";
import type { TaskDefinition } from "./task.ts";

export interface DagOptions {
  /** A cron expression of five fields, a preset such as "@daily", or null: only when triggered. */
  readonly schedule: string | null;
  /** Further tries of each task after a failure. @default 0 */
  readonly retries?: number;
  /** @default "30s" */
  readonly retryDelay?: Duration;
  /** The first date it is scheduled for, YYYY-MM-DD in UTC; needed with a schedule. */
  readonly startDate?: string;
  /** Whether dates before now are made up for. @default false */
  readonly catchup?: boolean;
  /** @default Airflow's own */
  readonly maxActiveRuns?: number;
  readonly tags?: readonly string[];
}

/** What a DAG function gets. */
export interface DagScope<C> {
  /** What the person who triggers the run chose, or the defaults. */
  readonly conf: Ref<C>;
}

/** A DAG module's default export. */
export interface Dag {
  readonly kind: "dag";
  readonly id: string;
  /** The graph, and what is wrong with it; building it runs the DAG function. */
  build(): { graph: DagGraph; definitions: ReadonlyMap<string, TaskDefinition>; problems: readonly BuildProblem[] };
}

/** Defines a DAG. `C` is its conf, which becomes Airflow's params and trigger form. */
export function dag<C = Record<string, never>>(id: string, options: DagOptions, body: (scope: DagScope<C>) => void): Dag {
  const definedAt = callSite(dag);
  return {
    kind: "dag",
    id,
    build() {
      const { nodes, definitions, problems } = collect(() => body({ conf: makeRef<C>({ kind: "conf", path: [] }) }));
      return { graph: graphOf(id, options, nodes, definedAt), definitions, problems };
    },
  };
}

function graphOf(id: string, options: DagOptions, tasks: DagGraph["tasks"], definedAt: CallSite | undefined): DagGraph {
  return deepFreeze<DagGraph>({
    kind: "dag",
    id,
    schedule: options.schedule,
    retries: options.retries ?? 0,
    retryDelaySeconds: secondsOf(options.retryDelay ?? "30s"),
    startDate: options.startDate,
    catchup: options.catchup ?? false,
    maxActiveRuns: options.maxActiveRuns,
    tags: [...(options.tags ?? [])],
    tasks: [...tasks],
    definedAt,
  });
}

import type { TriggerRule } from "../ir/ir.ts";
import { type CallSite, callSite } from "./call-site.ts";
import type { TaskContext } from "./context.ts";
import type { Duration } from "./duration.ts";
import { placeTask } from "./graph-builder.ts";
import type { MustBeJson } from "./json.ts";
import type { NotYet } from "./outcome.ts";
import type { Input, Ref } from "./ref.ts";

/** How a task behaves wherever it is placed. */
export interface TaskOptions {
  /** Further tries after a failure. @default the DAG's */
  readonly retries?: number;
  /** Time between tries. @default the DAG's */
  readonly retryDelay?: Duration;
  /** A try that takes longer is ended and counts as failed. @default none */
  readonly timeout?: Duration;
  readonly pool?: string;
}

/** How a sensor waits. It holds no worker slot between two looks. */
export interface SensorOptions extends Omit<TaskOptions, "timeout"> {
  /** Time between two looks. @default "30s" */
  readonly pokeInterval?: Duration;
  /** The sensor fails when it has waited this long. @default "7d" */
  readonly timeout?: Duration;
}

/** Where and how one call of a task stands in the DAG. */
export interface Placement {
  /** @default the task's name */
  readonly id?: string;
  /** Tasks that must come first though none of their results is used. */
  readonly after?: Ref<unknown> | readonly Ref<unknown>[];
  /** @default "all_success" */
  readonly triggerRule?: TriggerRule;
  readonly retries?: number;
  readonly retryDelay?: Duration;
  readonly timeout?: Duration;
  readonly pool?: string;
}

type Inputs<I> = { readonly [K in keyof I]: Input<I[K]> };

/** A task: calling it in a DAG function places it there; `handler` is what it does. */
export interface Task<I, O> {
  (input: Inputs<I>, placement?: Placement): Ref<O>;
  readonly handler: (input: I, context: TaskContext) => Promise<O | NotYet>;
}

/** What the graph builder keeps of a task. */
export interface TaskDefinition {
  readonly kind: "task" | "sensor";
  readonly name: string;
  readonly options: TaskOptions & SensorOptions;
  readonly handler: (input: never, context: TaskContext) => Promise<unknown>;
  readonly definedAt: CallSite | undefined;
}

function define<I, O>(definition: TaskDefinition): Task<I, O> {
  const place = (input: Inputs<I>, placement: Placement = {}): Ref<O> => placeTask<O>(definition, input, placement, callSite(place));
  return Object.assign(place, { handler: definition.handler as Task<I, O>["handler"] });
}

/** Defines a task by its name in Airflow and the async function that it runs. */
export function task<I, O>(name: string, options: TaskOptions, handler: (input: I, context: TaskContext) => Promise<O> & MustBeJson<O>): Task<I, O> {
  return define({ kind: "task", name, options, handler: handler, definedAt: callSite(task) });
}

/** Defines a task that waits: its function looks once and returns a result, or `notYet(why)`. */
export function sensor<I, O>(
  name: string,
  options: SensorOptions,
  handler: (input: I, context: TaskContext) => Promise<O | NotYet>,
): Task<I, Exclude<O, NotYet>> {
  return define({ kind: "sensor", name, options, handler: handler, definedAt: callSite(sensor) });
}

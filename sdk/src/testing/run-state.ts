import type { Json } from "../authoring/json.ts";
import type { InstanceState } from "./trigger-rules.ts";

/** One instance of a task in a run. */
export interface Instance {
  readonly taskId: string;
  /** −1 for a task that is not mapped, or not yet expanded. */
  readonly mapIndex: number;
  state: InstanceState;
  /** Tries that were begun. */
  tries: number;
  /** When it may go on: the next try or look, in milliseconds. */
  wakeAt: number;
  /** When a sensor first looked in this try. */
  waitingSince: number | undefined;
  looks: number;
  /** What it pushed, by key. */
  readonly xcoms: Map<string, Json>;
  /** What went wrong in the last try. */
  error: string | undefined;
}

export function newInstance(taskId: string, mapIndex: number): Instance {
  return { taskId, mapIndex, state: "none", tries: 0, wakeAt: 0, waitingSince: undefined, looks: 0, xcoms: new Map(), error: undefined };
}

/** A line of a run's log. */
export interface LogEntry {
  readonly taskId: string;
  readonly mapIndex: number;
  readonly level: "debug" | "info" | "warn" | "error";
  readonly message: string;
  readonly fields: Readonly<Record<string, unknown>> | undefined;
}

/** An asset's event that a task of the run made. */
export interface MadeAssetEvent {
  readonly asset: string;
  readonly taskId: string;
  readonly extra: Readonly<Record<string, Json>>;
}

import { deepFreeze, type TaskNode } from "../ir/ir.ts";
import type { CallSite } from "./call-site.ts";
import { secondsOf } from "./duration.ts";
import { makeRef, type Ref, tasksIn, toExpr, tryExprOfRef } from "./ref.ts";
import type { Placement, TaskDefinition } from "./task.ts";

/** Something wrong with a DAG, found while it is built. */
export interface BuildProblem {
  readonly code: string;
  readonly message: string;
  readonly at: CallSite | undefined;
}

/** The tasks placed so far in the DAG function that is running. */
export interface Building {
  readonly nodes: TaskNode[];
  readonly definitions: Map<string, TaskDefinition>;
  readonly problems: BuildProblem[];
}

let building: Building | undefined;

/** Runs a DAG function and collects what it places. */
export function collect(build: () => void): Building {
  if (building) throw new Error("a DAG function must not build another DAG");
  building = { nodes: [], definitions: new Map(), problems: [] };
  try {
    build();
    return building;
  } finally {
    building = undefined;
  }
}

/** Adds a task to the DAG that is being built and returns a reference to its result. */
export function placeTask<O>(definition: TaskDefinition, input: Record<string, unknown>, placement: Placement, at: CallSite | undefined): Ref<O> {
  if (!building) throw new Error(`task ${definition.name} was called outside a DAG function; to run its code, call its handler`);
  const id = placement.id ?? definition.name;
  if (building.definitions.has(id)) building.problems.push({ code: "AL102", message: `task id "${id}" is used twice; give this one another: { id: "…" }`, at });
  else building.definitions.set(id, definition);
  try {
    building.nodes.push(nodeOf(id, definition, input, placement, at));
  } catch (error) {
    building.problems.push({ code: "AL105", message: `task "${id}": ${(error as Error).message}`, at });
  }
  return makeRef<O>({ kind: "result", taskId: id, path: [] });
}

function nodeOf(id: string, definition: TaskDefinition, input: Record<string, unknown>, placement: Placement, placedAt: CallSite | undefined): TaskNode {
  const options = { ...definition.options, ...definedOnly(placement) };
  const seconds = (duration: typeof options.timeout) => (duration === undefined ? undefined : secondsOf(duration));
  const inputs = Object.fromEntries(
    Object.entries(input ?? {})
      .filter(([, value]) => value !== undefined)
      .map(([key, value]) => [key, toExpr(value, key)]),
  );
  const after = [placement.after ?? []].flat().map((ref) => {
    const expr = tryExprOfRef(ref);
    if (expr?.kind !== "result") throw new TypeError("`after` takes results of tasks");
    return expr.taskId;
  });
  return deepFreeze<TaskNode>({
    kind: definition.kind,
    id,
    inputs,
    upstream: [...new Set([...Object.values(inputs).flatMap(tasksIn), ...after])].toSorted(),
    retries: options.retries,
    retryDelaySeconds: seconds(options.retryDelay),
    timeoutSeconds: seconds(options.timeout) ?? (definition.kind === "sensor" ? secondsOf("7d") : undefined),
    pokeIntervalSeconds: definition.kind === "sensor" ? secondsOf(options.pokeInterval ?? "30s") : undefined,
    triggerRule: placement.triggerRule ?? "all_success",
    pool: options.pool,
    transport: "spawn",
    placedAt,
    definedAt: definition.definedAt,
  });
}

function definedOnly<T extends object>(value: T): T {
  return Object.fromEntries(Object.entries(value).filter(([, part]) => part !== undefined)) as T;
}

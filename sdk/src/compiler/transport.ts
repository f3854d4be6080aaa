import { type DagGraph, deepFreeze, type NodeTaskNode, type TaskNode, exprsOf, walkExpr } from "../ir/ir.ts";
import type { ProjectSettings } from "./project.ts";
import { isBefore, type Target } from "./target.ts";
import type { Schema } from "./types.ts";

/**
 * The graph with a transport for every Node task: the coordinator where it is switched on, the target has it and the task
 * needs nothing that it lacks; the spawning operator everywhere else.
 */
export function chooseTransports(graph: DagGraph, _conf: Schema, target: Target, project: ProjectSettings): DagGraph {
  const allowed = project.coordinator && !isBefore(target, "3.3");
  const tasks = graph.tasks.map((task) => {
    if (!isNodeTask(task) || task.transport !== undefined) return task;
    return { ...task, transport: allowed && coordinatorLacks(task) === undefined ? ("coordinator" as const) : ("spawn" as const) };
  });
  return deepFreeze({ ...graph, tasks });
}

const isNodeTask = (task: TaskNode): task is NodeTaskNode => task.kind !== "operator" && task.kind !== "items";

/** What a task needs that the coordinator cannot give, or undefined. */
export function coordinatorLacks(task: NodeTaskNode): string | undefined {
  if (Object.keys(task.callbacks).length > 0) return "callbacks";
  if (task.settings.timeoutSeconds !== undefined) return "a timeout";
  if (task.settings.params !== undefined) return "params of its own";
  if (task.settings.waiting === "poke" || task.settings.waiting === "defer") return `waiting: "${task.settings.waiting}"`;
  let lacks: string | undefined;
  for (const expr of exprsOf(task))
    walkExpr(expr, (part) => {
      if (part.kind === "jinja") lacks = "a Jinja template";
      if (part.kind === "item") lacks = "an element of a mapped group";
    });
  return lacks;
}

import { type DagGraph, deepFreeze, type NodeTaskNode, type TaskNode, exprsOf, walkExpr } from "../ir/ir.ts";
import { effectiveSettings } from "../ir/topology.ts";
import type { ProjectSettings } from "./project.ts";
import { isBefore, type Target } from "./target.ts";

/**
 * The graph with a transport for every Node task: the coordinator where it is switched on, the target has it and the task
 * needs nothing that it lacks; the spawning operator everywhere else.
 */
export function chooseTransports(graph: DagGraph, target: Target, project: ProjectSettings): DagGraph {
  const allowed = project.coordinator && !isBefore(target, "3.3");
  const tasks = graph.tasks.map((task) => {
    if (!isNodeTask(task) || task.transport !== undefined) return task;
    return { ...task, transport: allowed && coordinatorLacks(graph, task) === undefined ? ("coordinator" as const) : ("spawn" as const) };
  });
  return deepFreeze({ ...graph, tasks });
}

const isNodeTask = (task: TaskNode): task is NodeTaskNode => task.kind !== "operator" && task.kind !== "items";

/** What a task needs that the coordinator cannot give, or undefined. */
export function coordinatorLacks(graph: DagGraph, task: NodeTaskNode): string | undefined {
  const settings = effectiveSettings(graph, task);
  if (task.runIn) return "an image to run in";
  if (Object.keys(task.callbacks).length > 0) return "callbacks";
  if (settings.timeoutSeconds !== undefined) return "a timeout";
  if (settings.params !== undefined) return "params of its own";
  if (settings.waiting === "poke" || settings.waiting === "defer") return `waiting: "${settings.waiting}"`;
  if (task.inlets.length + task.outlets.length > 0) return "asset events";
  if (settings.queue !== undefined) return "a queue of its own";
  if (settings.instanceName?.includes("{{")) return "a Jinja template";
  let lacks: string | undefined;
  for (const expr of exprsOf(task))
    walkExpr(expr, (part) => {
      if (part.kind === "jinja") lacks = "a Jinja template";
    });
  return lacks;
}

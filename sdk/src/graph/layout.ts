import type { DagGraph, TaskNode } from "../ir/ir.ts";
import { topologyOf } from "../ir/topology.ts";

/** Where a task stands in a drawing: its layer from the left, and its place in it from the top. */
export interface Placed {
  readonly task: TaskNode;
  readonly layer: number;
  readonly row: number;
}

/** A drawing's tasks and edges. */
export interface Layout {
  readonly tasks: readonly Placed[];
  readonly edges: readonly { readonly from: Placed; readonly to: Placed; readonly label: string | undefined }[];
  readonly layers: number;
  readonly rows: number;
}

/** Puts each task after all that come before it, and near them. */
export function layOut(graph: DagGraph): Layout {
  const { upstream, downstream } = topologyOf(graph);
  const layerOf = new Map<string, number>();
  const visit = (id: string): number => {
    const known = layerOf.get(id);
    if (known !== undefined) return known;
    layerOf.set(id, 0);
    const layer = Math.max(-1, ...[...upstream.get(id)!].map(visit)) + 1;
    layerOf.set(id, layer);
    return layer;
  };
  for (const task of graph.tasks) visit(task.id);
  const layers: TaskNode[][] = [];
  for (const task of graph.tasks) (layers[layerOf.get(task.id)!] ??= []).push(task);
  const rowOf = new Map<string, number>();
  const mean = (ids: ReadonlySet<string>, fallback: number) => {
    const rows = [...ids].flatMap((id) => rowOf.get(id) ?? []);
    return rows.length === 0 ? fallback : rows.reduce((sum, row) => sum + row, 0) / rows.length;
  };
  // Two sweeps of the barycentre method (Sugiyama, 1981) are enough for drawings of this size.
  for (const sweep of [upstream, downstream, upstream]) {
    const order = sweep === upstream ? layers : layers.toReversed();
    for (const tasks of order) {
      const ranked = tasks.map((task, i) => ({ task, rank: mean(sweep.get(task.id)!, rowOf.get(task.id) ?? i) })).toSorted((a, b) => a.rank - b.rank);
      for (const [i, { task }] of ranked.entries()) rowOf.set(task.id, i);
    }
  }
  const placed = new Map(graph.tasks.map((task) => [task.id, { task, layer: layerOf.get(task.id)!, row: rowOf.get(task.id)! }]));
  const labelOf = (from: string, to: string) => placed.get(to)!.task.upstream.find((edge) => edge.id === from)?.label;
  const edges = [...upstream].flatMap(([to, before]) =>
    [...before].map((from) => ({ from: placed.get(from)!, to: placed.get(to)!, label: labelOf(from, to) })),
  );
  return { tasks: [...placed.values()], edges, layers: layers.length, rows: Math.max(1, ...layers.map((tasks) => tasks.length)) };
}

/** What kind of thing a task is, in one word. */
export function kindOf(task: TaskNode): string {
  if (task.kind === "operator") return task.operator.className;
  if (task.setup) return "setup";
  if (task.teardown) return "teardown";
  return { task: "task", sensor: "sensor", branch: "branch", shortCircuit: "short circuit", items: "items" }[task.kind];
}

import type { DagGraph } from "../ir/ir.ts";
import { kindOf, layOut } from "./layout.ts";

/** A DAG as lines of text: a column for each step, and under each task what it waits for. */
export function drawText(graph: DagGraph): string {
  const layout = layOut(graph);
  const lines = [`${graph.id}  (${graph.tasks.length} task${graph.tasks.length === 1 ? "" : "s"})`];
  for (let layer = 0; layer < layout.layers; layer++) {
    const tasks = layout.tasks.filter((placed) => placed.layer === layer).toSorted((a, b) => a.row - b.row);
    for (const placed of tasks) {
      const before = layout.edges.filter((edge) => edge.to === placed);
      const marks = [
        kindOf(placed.task),
        ...(placed.task.mapping ? ["× n"] : []),
        ...(placed.task.triggerRule === "all_success" ? [] : [placed.task.triggerRule]),
      ];
      const from = before.map(({ from: source, label }) => `${source.task.id}${label === undefined ? "" : ` (${label})`}`);
      lines.push(
        `${"   ".repeat(layer)}${layer === 0 ? "●" : "└─●"} ${placed.task.id}  [${marks.join(", ")}]${from.length > 0 ? `  ← ${from.join(", ")}` : ""}`,
      );
    }
  }
  return `${lines.join("\n")}\n`;
}

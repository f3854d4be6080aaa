import type { DagGraph } from "../ir/ir.ts";
import { kindOf, layOut, type Placed } from "./layout.ts";

const box = { width: 190, height: 46, gapX: 70, gapY: 22, margin: 24, title: 44 };
const colours: Readonly<Record<string, string>> = {
  task: "#dbeafe",
  sensor: "#dcfce7",
  branch: "#fef3c7",
  "short circuit": "#fef3c7",
  items: "#f1f5f9",
  setup: "#ede9fe",
  teardown: "#ede9fe",
};
const escape = (text: string) => text.replace(/[&<>"]/g, (character) => `&#${character.charCodeAt(0)};`);
const shorten = (text: string, length: number) => (text.length > length ? `${text.slice(0, length - 1)}…` : text);

/** A DAG as an SVG picture, from left to right; it needs no fonts or files of its own. */
export function drawSvg(graph: DagGraph): string {
  const layout = layOut(graph);
  const width = box.margin * 2 + layout.layers * box.width + (layout.layers - 1) * box.gapX;
  const height = box.margin * 2 + box.title + layout.rows * box.height + (layout.rows - 1) * box.gapY;
  const at = ({ layer, row }: Placed) => ({ x: box.margin + layer * (box.width + box.gapX), y: box.margin + box.title + row * (box.height + box.gapY) });
  const edges = layout.edges.map(({ from, to, label }) => {
    const [a, b] = [at(from), at(to)];
    const [x1, y1, x2, y2] = [a.x + box.width, a.y + box.height / 2, b.x, b.y + box.height / 2];
    const middle = (x1 + x2) / 2;
    const words =
      label === undefined ? "" : `<text x="${middle}" y="${(y1 + y2) / 2 - 4}" text-anchor="middle" font-size="11" fill="#475569">${escape(label)}</text>`;
    return `<path d="M${x1},${y1} C${middle},${y1} ${middle},${y2} ${x2},${y2}" fill="none" stroke="#94a3b8" stroke-width="1.5" marker-end="url(#arrow)"/>${words}`;
  });
  const tasks = layout.tasks.map((placed) => {
    const { x, y } = at(placed);
    const kind = kindOf(placed.task);
    const mapped = placed.task.mapping
      ? `<rect x="${x + 5}" y="${y + 5}" width="${box.width}" height="${box.height}" rx="8" fill="#fff" stroke="#64748b"/>`
      : "";
    return [
      `<g><title>${escape(placed.task.id)}</title>${mapped}`,
      `<rect x="${x}" y="${y}" width="${box.width}" height="${box.height}" rx="8" fill="${colours[kind] ?? "#fce7f3"}" stroke="#64748b"/>`,
      `<text x="${x + 12}" y="${y + 20}" font-size="14" fill="#0f172a">${escape(shorten(placed.task.id, 24))}</text>`,
      `<text x="${x + 12}" y="${y + 36}" font-size="11" fill="#475569">${escape(kind)}${placed.task.mapping ? " × n" : ""}</text></g>`,
    ].join("");
  });
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" role="img" aria-label="The DAG ${escape(graph.id)}" font-family="system-ui, sans-serif">`,
    `<defs><marker id="arrow" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" orient="auto"><path d="M0,0 L8,4 L0,8 z" fill="#94a3b8"/></marker></defs>`,
    `<rect width="100%" height="100%" fill="#fff"/>`,
    `<text x="${box.margin}" y="${box.margin + 18}" font-size="18" fill="#0f172a">${escape(graph.id)}</text>`,
    ...edges,
    ...tasks,
    "</svg>\n",
  ].join("\n");
}

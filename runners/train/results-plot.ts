import type { EpochReport } from "@airloom/yolo/train/train.ts";

interface Curve {
  readonly title: string;
  readonly values: readonly number[];
}

const panel = { width: 300, height: 210, pad: 34 };

/** The curves of a run as an SVG picture: three losses above, three metrics below. */
export function resultsPlot(reports: readonly EpochReport[]): string {
  const curves: Curve[] = [
    { title: "train/box_loss", values: reports.map((report) => report.boxLoss) },
    { title: "train/cls_loss", values: reports.map((report) => report.clsLoss) },
    { title: "train/dfl_loss", values: reports.map((report) => report.dflLoss) },
    { title: "metrics/mAP50", values: reports.map((report) => report.metrics.map50) },
    { title: "metrics/mAP50-95", values: reports.map((report) => report.metrics.map) },
    { title: "metrics/recall", values: reports.map((report) => report.metrics.recall) },
  ];
  const panels = curves.map((curve, i) => `<g transform="translate(${(i % 3) * panel.width},${Math.floor(i / 3) * panel.height})">${drawCurve(curve)}</g>`);
  const [width, height] = [panel.width * 3, panel.height * 2];
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" font-family="sans-serif" font-size="11"><rect width="100%" height="100%" fill="white"/>${panels.join("")}</svg>`;
}

function drawCurve({ title, values }: Curve): string {
  const { width, height, pad } = panel;
  const finite = values.filter(Number.isFinite);
  const isShare = title.startsWith("metrics/");
  const low = isShare ? 0 : Math.min(...finite, 0);
  const high = isShare ? 1 : Math.max(...finite, 1e-6);
  const x = (i: number) => pad + (i / Math.max(1, values.length - 1)) * (width - 1.5 * pad);
  const y = (value: number) => height - pad - ((value - low) / (high - low)) * (height - 2 * pad);
  const points = values.flatMap((value, i) => (Number.isFinite(value) ? `${x(i).toFixed(1)},${y(value).toFixed(1)}` : [])).join(" ");
  const ticks = [low, (low + high) / 2, high].map(
    (value) =>
      `<text x="${pad - 4}" y="${y(value) + 4}" text-anchor="end">${Number(value.toPrecision(2))}</text><path d="M${pad} ${y(value)}H${width - pad / 2}" stroke="#ddd"/>`,
  );
  return `${ticks.join("")}<polyline points="${points}" fill="none" stroke="#15803d" stroke-width="2"/><text x="${width / 2}" y="20" text-anchor="middle" font-size="13">${title}</text><text x="${width / 2}" y="${height - 8}" text-anchor="middle">epoch 1–${values.length}</text>`;
}

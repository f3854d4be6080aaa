import { type Analysis, type ClassCurves, confidences } from "../metrics/analysis.ts";
import type { EpochReport } from "../train/train.ts";
import { colourOf, escapeXml, lineChart, svg, tiled } from "./svg.ts";

/** The course of a run: three training and three validation losses, four metrics and the learning rate. */
export function resultsChart(reports: readonly EpochReport[]): string {
  const panel = { width: 300, height: 210 };
  const chart = (title: string, pick: (report: EpochReport) => number, range?: readonly [number, number]) =>
    lineChart([{ values: reports.map(pick), colour: "#15803d", bold: true }], {
      title,
      from: reports[0]?.epoch ?? 1,
      to: reports.at(-1)?.epoch ?? 1,
      xLabel: "epoch",
      ...(range && { range }),
      ...panel,
    });
  const share = [0, 1] as const;
  const parts = [
    chart("train/box_loss", (report) => report.boxLoss),
    chart("train/cls_loss", (report) => report.clsLoss),
    chart("train/dfl_loss", (report) => report.dflLoss),
    chart("metrics/precision(B)", (report) => report.metrics.precision, share),
    chart("metrics/recall(B)", (report) => report.metrics.recall, share),
    chart("val/box_loss", (report) => report.valBoxLoss),
    chart("val/cls_loss", (report) => report.valClsLoss),
    chart("val/dfl_loss", (report) => report.valDflLoss),
    chart("metrics/mAP50(B)", (report) => report.metrics.map50, share),
    chart("metrics/mAP50-95(B)", (report) => report.metrics.map, share),
  ];
  return tiled(parts, 5, panel.width, panel.height);
}

/** The four curves that people read, by their usual file names. */
export function curveCharts(
  { curves, metrics }: Analysis,
  labels: readonly string[],
): Record<"BoxP_curve" | "BoxR_curve" | "BoxF1_curve" | "BoxPR_curve", string> {
  const size = { width: 640, height: 440 };
  const chart = (title: string, pick: (each: ClassCurves) => readonly number[], xLabel: string, yLabel: string, all: string) => {
    const mean = confidences.map((_, i) => curves.reduce((sum, each) => sum + pick(each)[i]!, 0) / Math.max(1, curves.length));
    const lines = [
      { values: mean, colour: "#111827", label: all, bold: true },
      ...curves.map((each) => ({ values: pick(each), colour: colourOf(each.cls), label: labels[each.cls] ?? String(each.cls) })),
    ];
    return svg(size.width, size.height, lineChart(lines, { title, from: 0, to: 1, xLabel, yLabel, range: [0, 1], ...size }));
  };
  const best = bestF1(curves);
  return {
    BoxP_curve: chart("Precision over confidence", (each) => each.precision, "confidence", "precision", "all classes"),
    BoxR_curve: chart("Recall over confidence", (each) => each.recall, "confidence", "recall", "all classes"),
    BoxF1_curve: chart("F1 over confidence", (each) => each.f1, "confidence", "F1", `all: ${best.f1.toFixed(2)} at ${best.confidence.toFixed(2)}`),
    BoxPR_curve: chart("Precision over recall", (each) => each.precisionAtRecall, "recall", "precision", `all: mAP50 ${metrics.map50.toFixed(3)}`),
  };
}

/** The confidence at which the mean F1 of the classes is highest. */
export function bestF1(curves: readonly ClassCurves[]): { confidence: number; f1: number } {
  const means = confidences.map((confidence, i) => ({ confidence, f1: curves.reduce((sum, { f1 }) => sum + f1[i]!, 0) / Math.max(1, curves.length) }));
  return means.reduce((best, each) => (each.f1 > best.f1 ? each : best));
}

/** A confusion matrix; normalised, each column sums to 1. */
export function confusionChart(confusion: Analysis["confusion"], labels: readonly string[], normalised: boolean): string {
  const names = [...labels, "background"];
  const sums = names.map((_, column) => confusion.reduce((sum, row) => sum + row[column]!, 0));
  const shown = (row: number, column: number) => (normalised ? confusion[row]![column]! / (sums[column] || 1) : confusion[row]![column]!);
  const highest = Math.max(1e-9, ...names.flatMap((_, row) => names.map((__, column) => shown(row, column))));
  const cell = Math.max(14, Math.min(64, 560 / names.length));
  const [left, top] = [130, 40];
  const cells = names.flatMap((_, row) =>
    names.map((__, column) => {
      const value = shown(row, column);
      const [x, y] = [left + column * cell, top + row * cell];
      const text = normalised ? value.toFixed(2) : String(value);
      const label =
        value > 0 && cell >= 22
          ? `<text x="${x + cell / 2}" y="${y + cell / 2 + 4}" text-anchor="middle" fill="${value / highest > 0.5 ? "white" : "#111827"}">${text}</text>`
          : "";
      return `<rect x="${x}" y="${y}" width="${cell}" height="${cell}" fill="#15803d" fill-opacity="${(value / highest).toFixed(3)}" stroke="#e5e7eb"/>${label}`;
    }),
  );
  const bottom = top + names.length * cell;
  const texts = names.map((name, i) => {
    const at = i * cell + cell / 2;
    const short = escapeXml(name.slice(0, 18));
    return `<text x="${left - 6}" y="${top + at + 4}" text-anchor="end">${short}</text><text transform="translate(${left + at + 4},${bottom + 8}) rotate(-60)" text-anchor="end">${short}</text>`;
  });
  const width = left + names.length * cell + 30;
  return svg(
    width,
    bottom + 120,
    `<text x="${width / 2}" y="18" text-anchor="middle" font-size="13">Confusion matrix${normalised ? ", normalised" : ""}</text>${cells.join("")}${texts.join("")}<text x="${left + (names.length * cell) / 2}" y="${bottom + 110}" text-anchor="middle">true</text><text transform="translate(12,${top + (names.length * cell) / 2}) rotate(-90)" text-anchor="middle">predicted</text>`,
  );
}

/** What the labels of a split are like: how many of each class, where they stand, how large they are. */
export function labelsChart(
  objects: readonly { readonly cls: number; readonly xywh: readonly [number, number, number, number] }[],
  labels: readonly string[],
): string {
  const [width, height] = [420, 340];
  const counts = labels.map((_, cls) => objects.filter((object) => object.cls === cls).length);
  const most = Math.max(1, ...counts);
  const bar = (width - 150) / Math.max(1, most);
  const row = Math.min(26, (height - 50) / labels.length);
  const bars = counts.map(
    (count, cls) =>
      `<text x="100" y="${38 + cls * row + row / 2}" text-anchor="end">${escapeXml(labels[cls]!.slice(0, 14))}</text><rect x="106" y="${32 + cls * row}" width="${(count * bar).toFixed(1)}" height="${(row * 0.7).toFixed(1)}" fill="${colourOf(cls)}"/><text x="${(110 + count * bar).toFixed(1)}" y="${38 + cls * row + row / 2}">${count}</text>`,
  );
  // A sample is enough to see, and keeps the file small.
  const shown = objects.filter((_, i) => i % Math.max(1, Math.ceil(objects.length / 2000)) === 0);
  const scatter = (title: string, pick: (xywh: readonly [number, number, number, number]) => readonly [number, number], xLabel: string, yLabel: string) => {
    const plane = lineChart([], { title, from: 0, to: 1, range: [0, 1], xLabel, yLabel, width, height });
    const dots = shown.map(({ cls, xywh }) => {
      const [px, py] = pick(xywh);
      return `<circle cx="${(46 + px * (width - 58)).toFixed(1)}" cy="${(height - 34 - py * (height - 60)).toFixed(1)}" r="2" fill="${colourOf(cls)}" fill-opacity="0.45"/>`;
    });
    return plane + dots.join("");
  };
  const parts = [
    `<text x="${width / 2}" y="16" text-anchor="middle" font-size="13">Objects of each class</text>${bars.join("")}`,
    scatter("Centres of boxes", ([x, y]) => [x, 1 - y], "x, share of the picture", "y, from below"),
    scatter("Sizes of boxes", ([, , w, h]) => [w, h], "width, share of the picture", "height"),
  ];
  return tiled(parts, 3, width, height);
}

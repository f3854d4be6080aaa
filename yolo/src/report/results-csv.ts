import type { EpochReport } from "../train/train.ts";

/** One row an epoch, under the column names that people's plotting scripts know. */
export function resultsCsv(reports: readonly EpochReport[]): string {
  const columns: Record<string, (report: EpochReport, elapsed: number) => number> = {
    epoch: (report) => report.epoch,
    time: (_, elapsed) => elapsed,
    "train/box_loss": (report) => report.boxLoss,
    "train/cls_loss": (report) => report.clsLoss,
    "train/dfl_loss": (report) => report.dflLoss,
    "metrics/precision(B)": (report) => report.metrics.precision,
    "metrics/recall(B)": (report) => report.metrics.recall,
    "metrics/mAP50(B)": (report) => report.metrics.map50,
    "metrics/mAP50-95(B)": (report) => report.metrics.map,
    "val/box_loss": (report) => report.valBoxLoss,
    "val/cls_loss": (report) => report.valClsLoss,
    "val/dfl_loss": (report) => report.valDflLoss,
    "lr/pg0": (report) => report.learningRates[0],
    "lr/pg1": (report) => report.learningRates[1],
    "lr/pg2": (report) => report.learningRates[2],
  };
  let elapsed = 0;
  const rows = reports.map((report) => {
    elapsed += report.seconds;
    return Object.values(columns)
      .map((value) => Number(value(report, elapsed).toPrecision(6)))
      .join(",");
  });
  return `${[Object.keys(columns).join(","), ...rows].join("\n")}\n`;
}

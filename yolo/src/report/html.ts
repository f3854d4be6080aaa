import type { Analysis } from "../metrics/analysis.ts";
import { escapeXml } from "../plots/svg.ts";
import type { EpochReport, TrainJob } from "../train/train.ts";

/** A drawn figure of a report: SVG text, or a JPEG. */
export interface Figure {
  readonly title: string;
  readonly content: string | Buffer;
}

/** One page that holds everything about a run, with all its pictures in it: it can be sent and kept. */
export function htmlReport(job: TrainJob, reports: readonly EpochReport[], { metrics }: Analysis, figures: readonly Figure[]): string {
  const { labels, options, train, validation } = job;
  const number = (value: number) => value.toFixed(3);
  const row = (cells: readonly (string | number)[], tag = "td") => `<tr>${cells.map((cell) => `<${tag}>${escapeXml(String(cell))}</${tag}>`).join("")}</tr>`;
  const classes = metrics.classes.map(({ cls, objects, precision, recall, ap50, ap }) =>
    row([labels[cls]!, objects, number(precision), number(recall), number(ap50), number(ap)]),
  );
  const all = metrics.classes.reduce((sum, { objects }) => sum + objects, 0);
  const { augment, ...plain } = options;
  const chosen = Object.entries({ ...plain, ...augment }).map(([name, value]) => row([name, String(value ?? "auto")]));
  const best = reports.findLast((report) => report.best)!;
  const seconds = reports.reduce((sum, report) => sum + report.seconds, 0);
  const drawn = figures.map(({ title, content }) => {
    const picture = typeof content === "string" ? content : `<img alt="${escapeXml(title)}" src="data:image/jpeg;base64,${content.toString("base64")}">`;
    return `<figure><figcaption>${escapeXml(title)}</figcaption>${picture}</figure>`;
  });
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>yolov8${options.size}: training report</title>
<style>body{font:15px/1.5 system-ui,sans-serif;max-width:1100px;margin:2rem auto;padding:0 1rem;color:#111827}table{border-collapse:collapse}th,td{padding:.2rem .8rem;border-bottom:1px solid #e5e7eb;text-align:right}th:first-child,td:first-child{text-align:left}figure{margin:2rem 0;overflow-x:auto}figcaption{font-weight:600;margin-bottom:.4rem}svg,img{max-width:100%;height:auto}details{margin:1rem 0}</style></head><body>
<h1>yolov8${options.size} on ${labels.length} ${labels.length === 1 ? "class" : "classes"}</h1>
<p>mAP50 <b>${number(metrics.map50)}</b>, mAP50-95 <b>${number(metrics.map)}</b> on ${validation.length} validation pictures; trained on ${train.length} for ${reports.length} epochs in ${(seconds / 60).toFixed(1)} minutes; the best epoch was ${best.epoch}.</p>
<table>${row(["class", "objects", "precision", "recall", "AP50", "AP50-95"], "th")}${row(["all", all, number(metrics.precision), number(metrics.recall), number(metrics.map50), number(metrics.map)])}${classes.join("")}</table>
${drawn.join("\n")}
<details><summary>What was chosen</summary><table>${chosen.join("")}</table></details>
</body></html>
`;
}

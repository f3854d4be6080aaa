import type { Analysis } from "../metrics/analysis.ts";
import type { TrainJob } from "../train/train.ts";
import { licenceOf, type StartingWeights } from "../weights/licence.ts";

/** Where a model comes from, beside what its job says. */
export interface Origin {
  /** The dataset's version: a commit, or the path of a data file. */
  readonly dataset: string;
}

/** A model card (arXiv 1810.03993) in Markdown: what the model is, how good, from what, and how to make it again. */
export function modelCard({ labels, options, train, validation }: TrainJob, { metrics }: Analysis, origin: Origin, start?: StartingWeights): string {
  const number = (value: number) => value.toFixed(3);
  const rows = metrics.classes.map(
    ({ cls, objects, precision, recall, ap50, ap }) =>
      `| ${labels[cls]} | ${objects} | ${number(precision)} | ${number(recall)} | ${number(ap50)} | ${number(ap)} |`,
  );
  const weights = start
    ? `${start.file} (licence: ${start.licence ?? "not stated in the file; find out before you hand the model on"})`
    : "none: trained from scratch";
  return `# yolov8${options.size}: ${labels.join(", ")}

- **Task**: object detection; ${labels.length} classes; pictures of ${options.side} × ${options.side} pixels
- **Data**: ${origin.dataset}; ${train.length} training and ${validation.length} validation pictures
- **Starting weights**: ${weights}
- **Licence of the weights**: ${licenceOf(start)}
- **Code**: Airloom (Apache-2.0). The network and its training are written from the papers; no code or weights of other trainers are in it.

| class | objects | precision | recall | AP50 | AP50-95 |
|---|---|---|---|---|---|
| **all** | ${metrics.classes.reduce((sum, { objects }) => sum + objects, 0)} | ${number(metrics.precision)} | ${number(metrics.recall)} | ${number(metrics.map50)} | ${number(metrics.map)} |
${rows.join("\n")}

Measured on the validation split at IoU 0.5 (AP50) and 0.5 … 0.95 (AP50-95), as COCO does; precision and recall at the confidence with the best F1.

## How to make it again

The same data, options and machine give the same model:

\`\`\`json
${JSON.stringify(options, null, 2)}
\`\`\`
`;
}

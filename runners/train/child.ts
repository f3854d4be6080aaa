// The training process: TensorFlow's calls block, so they must not stand in the process that talks to Airflow.
import { writeFile } from "node:fs/promises";
import path from "node:path";
import { exportOnnx } from "@airloom/yolo/onnx/export.ts";
import { layoutOf, type Weights } from "@airloom/yolo/nn/parameters.ts";
import { DivergedError, type EpochReport, train, type TrainJob } from "@airloom/yolo/train/train.ts";
import { writeCheckpoint, writeTorchCheckpoint } from "@airloom/yolo/weights/checkpoint.ts";

/** What the parent sends, once. */
export interface ChildJob {
  readonly job: TrainJob;
  /** Where best.onnx, best.pt, best.safetensors and last.safetensors go. */
  readonly folder: string;
}

/** What the child sends back. */
export type ChildMessage =
  | { readonly kind: "step"; readonly step: number; readonly steps: number; readonly loss: number }
  | { readonly kind: "epoch"; readonly report: EpochReport }
  | { readonly kind: "done" }
  | { readonly kind: "failed"; readonly message: string; readonly diverged: boolean };

const send = (message: ChildMessage) => new Promise<void>((resolve) => process.send!(message, () => resolve()));

async function run({ job, folder }: ChildJob): Promise<void> {
  const config = { size: job.size, classes: job.labels.length };
  const layout = layoutOf(config);
  const { side, labels } = job;
  let best: Weights | undefined;
  let last: Weights | undefined;
  const every = Math.max(1, Math.round(Math.ceil(job.train.length / job.batch) / 4));
  await train(job, {
    onStep: (step, steps, loss) => {
      if (step % every === 0) void send({ kind: "step", step, steps, loss });
    },
    onEpoch: async (report, weights) => {
      last = weights;
      if (report.best) {
        best = weights;
        await writeFile(path.join(folder, "best.safetensors"), writeCheckpoint({ config, labels, side, weights }));
      }
      await send({ kind: "epoch", report });
    },
  });
  if (!best || !last) throw new Error("training ended without an epoch");
  await writeFile(path.join(folder, "last.safetensors"), writeCheckpoint({ config, labels, side, weights: last }));
  await writeFile(path.join(folder, "best.pt"), await writeTorchCheckpoint({ config, labels, side, weights: best }));
  await writeFile(path.join(folder, "best.onnx"), exportOnnx(config, layout, best, { side, labels }));
  await send({ kind: "done" });
}

process.once("message", (message: ChildJob) => {
  run(message)
    .catch((error: unknown) =>
      send({ kind: "failed", message: error instanceof Error ? (error.stack ?? error.message) : String(error), diverged: error instanceof DivergedError }),
    )
    .finally(() => process.disconnect());
});
// Without its parent a training run has nobody to report to.
process.on("disconnect", () => process.exit());

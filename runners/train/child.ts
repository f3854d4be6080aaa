// The training process: TensorFlow's calls block, so they must not stand in the process that talks to Airflow.
import type { EpochReport, StepProgress, TrainJob } from "@airloom/yolo/train/train.ts";
import { type FolderEnd, trainInFolder } from "@airloom/yolo/train/run-folder.ts";
import type { Origin } from "@airloom/yolo/report/model-card.ts";
import { failure } from "./failure.ts";

/** What the parent sends first. */
export interface ChildJob {
  readonly job: TrainJob;
  /** Where everything goes, and where a state to go on from may be. */
  readonly folder: string;
  readonly origin: Origin;
}

/** What the child sends back. */
export type ChildMessage =
  | { readonly kind: "note"; readonly text: string }
  | { readonly kind: "step"; readonly progress: StepProgress; readonly memoryMiB: number }
  | { readonly kind: "epoch"; readonly report: EpochReport }
  | { readonly kind: "ended"; readonly why: FolderEnd["why"] }
  | { readonly kind: "failed"; readonly message: string; readonly hopeless: boolean };

const stop = new AbortController();
const send = (message: ChildMessage) =>
  new Promise<void>((resolve) => {
    if (process.connected) process.send!(message, () => resolve());
    else resolve();
  });

/** How long a run whose parent is gone may take to end its step. */
const orphanMs = 45_000;

/** Steps are told no more often than this. */
const stepEveryMs = 500;

async function run({ job, folder, origin }: ChildJob): Promise<void> {
  let told = 0;
  const { why } = await trainInFolder(
    job,
    folder,
    origin,
    {
      onNote: (text) => void send({ kind: "note", text }),
      onStep: (progress) => {
        if (performance.now() - told < stepEveryMs) return;
        told = performance.now();
        void send({ kind: "step", progress, memoryMiB: Math.round(process.memoryUsage.rss() / 2 ** 20) });
      },
      onEpoch: (report) => send({ kind: "epoch", report }),
    },
    stop.signal,
  );
  await send({ kind: "ended", why });
}

process.once("message", (first: ChildJob) => {
  process.on("message", () => stop.abort());
  run(first)
    .catch((error: unknown) => send({ kind: "failed", ...failure(error) }))
    .finally(() => process.exit());
});
// A terminal's Ctrl-C and a cleared task reach this process too: the parent says what to do.
for (const name of ["SIGINT", "SIGTERM"] as const) process.on(name, () => stop.abort());
// Without its parent a training run has nobody to report to: it saves its state, in a step's time, and ends.
process.on("disconnect", () => {
  stop.abort();
  setTimeout(() => process.exit(), orphanMs).unref();
});

import { access, readFile, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { task, type TaskContext, TerminalError } from "airloom";
import type { TrainOptions } from "@airloom/yolo/train/options.ts";
import type { EpochReport } from "@airloom/yolo/train/train.ts";
import { platformSettings } from "../platform/settings.ts";
import type { ChildMessage } from "./child.ts";

export interface Trained {
  /** MLflow's ids. */
  readonly runId: string;
  readonly experimentId: string;
  /** Holds the weights (best.onnx, best.pt, best.safetensors, last.safetensors), results.csv, the plots and report.html. */
  readonly folder: string;
  readonly epochs: number;
  /** The best epoch's figures on the validation split. */
  readonly map50: number;
  readonly map: number;
}

/** Working folders of training runs that stay on disk. */
const keptRuns = 10;

/** What a run leaves for MLflow beside its weights. */
const plots = "results labels confusion_matrix confusion_matrix_normalized BoxP_curve BoxR_curve BoxF1_curve BoxPR_curve".split(" ");
const mosaics = "train_batch0 train_batch1 train_batch2 val_batch0_labels val_batch0_pred".split(" ");
const shown = ["results.csv", "report.html", "model-card.md", ...plots.map((name) => `${name}.png`), ...mosaics.map((name) => `${name}.jpg`)];

interface TrainInput {
  readonly dataset: { readonly folder: string; readonly commit: string };
  readonly modelName: string;
  /** One of yolov8n, yolov8s, yolov8m, yolov8l, yolov8x. */
  readonly model: string;
  readonly epochs: number;
  /** Pixels; a multiple of 32. */
  readonly imgsz: number;
  readonly batch: number;
  readonly seed: number;
  readonly patience: number;
  /** auto, SGD or AdamW. */
  readonly optimizer: string;
  /** fp32 or bf16. */
  readonly precision: string;
  /** 0 for the optimiser's own. */
  readonly lr0: number;
  readonly closeMosaic: number;
  readonly freeze: number;
  /** Hours; 0 for no limit. */
  readonly time: number;
  /** A file of weights to begin with; empty for none. */
  readonly weights: string;
}

/**
 * Trains YOLOv8 on a laid-out dataset version, and tells MLflow of every epoch. A task that was cleared, or whose machine went
 * away, saves its state, and the next try goes on from there.
 */
export const trainModel = task("train_model", { timeout: "7d", retries: 1 }, async (input: TrainInput, context): Promise<Trained> => {
  const { keepNewest } = await import("@airloom/dataset-platform/store/keep-newest.ts");
  const { holdTrainingFolder } = await import("./hold-folder.ts");
  const parent = path.join(platformSettings().storage.private, "training");
  // One folder for all tries: the next one finds there what this one has done.
  const held = await holdTrainingFolder(parent, context.run);
  try {
    // What matters of older runs is in MLflow.
    await keepNewest(parent, keptRuns);
    return await trainIn(held.folder, input, { ...context, signal: AbortSignal.any([context.signal, held.lost]) });
  } catch (error) {
    // Why it was stopped says more than that it was.
    throw held.lost.aborted ? held.lost.reason : error;
  } finally {
    await held.release();
  }
});

async function trainIn(folder: string, input: TrainInput, { log, signal, run }: Pick<TaskContext, "log" | "signal" | "run">): Promise<Trained> {
  const { readDataFile } = await import("@airloom/dataset-platform/versions/export-version.ts");
  const { MlflowClient } = await import("../platform/mlflow.ts");
  const { MlflowSpool } = await import("../platform/mlflow-spool.ts");
  const { exportedPictures } = await import("./read-data.ts");
  const { runTrainingChild, TrainingHopeless } = await import("./run-child.ts");
  const { optionsFrom } = await import("./options.ts");
  const { mlflowUrl, mlflowPatienceMs } = platformSettings();
  const data = await readDataFile(input.dataset.folder);

  const pictures = (part: typeof data.train) => exportedPictures(input.dataset.folder, part);
  const options = optionsFrom({ ...input });
  const job = { train: pictures(data.train), validation: pictures(data.validation), labels: data.labels, options };

  const spool = await MlflowSpool.open(
    new MlflowClient(mlflowUrl, 1),
    folder,
    {
      experiment: input.modelName,
      runName: `${input.modelName} ${run.runId}`,
      tags: { "airflow.dag_id": run.dagId, "airflow.run_id": run.runId, "airflow.try_number": String(run.tryNumber), "dataset.commit": data.commit },
    },
    (message) => log.warn(message),
  );
  spool.add({ kind: "end", status: "RUNNING" });
  spool.add({
    kind: "params",
    params: {
      ...loggedOptions(options),
      split: data.split,
      dataset_commit: data.commit,
      train_images: data.train.length,
      val_images: data.validation.length,
      labels: data.labels.join(",").slice(0, 6000),
    },
  });
  const source = JSON.stringify({ commit: data.commit, path: "images.dvc" });
  spool.add({ kind: "dataset", dataset: { name: "storage/images", digest: data.commit.slice(0, 36), source } });
  try {
    const told = progressLog(log);
    const onMessage = (message: ChildMessage) => {
      if (message.kind === "note") log.info(message.text);
      if (message.kind === "step") told(message);
      if (message.kind !== "epoch") return;
      log.info(epochLine(message.report, options.epochs));
      spool.add({ kind: "metrics", metrics: epochMetrics(message.report) });
    };
    // A try that trained to the end, and then could not tell MLflow, must not be trained again.
    const finished = path.join(folder, "finished");
    const why = (await isThere(finished))
      ? "epochs"
      : await runTrainingChild({ job, folder, origin: { dataset: `storage/images at commit ${data.commit}` } }, signal, onMessage);
    if (why !== "stopped") await writeFile(finished, "");
    if (why === "stopped") throw new Error(`training was asked to stop; its state is saved in ${folder}, and the next try goes on from there`);
    if (why !== "epochs") log.info(why === "patience" ? `no better for ${options.patience} epochs: done` : `the time of ${options.time} hours is over: done`);
    const { metrics } = JSON.parse(await readFile(path.join(folder, "analysis.json"), "utf8")) as { metrics: EpochReport["metrics"] };
    for (const { cls, precision, recall, ap50, ap } of metrics.classes)
      log.info(`${data.labels[cls]}: precision ${precision.toFixed(3)}, recall ${recall.toFixed(3)}, AP50 ${ap50.toFixed(3)}, AP50-95 ${ap.toFixed(3)}`);
    for (const name of shown) if (await isThere(path.join(folder, name))) spool.add({ kind: "artifact", file: path.join(folder, name), folder: "" });
    for (const name of ["best.pt", "best.safetensors", "last.safetensors"]) spool.add({ kind: "artifact", file: path.join(folder, name), folder: "weights" });
    spool.add({ kind: "end", status: "FINISHED" });
    const ids = await spool.flush(mlflowPatienceMs);
    await spool.forget();
    await rm(finished);
    log.info(`mAP50 ${metrics.map50.toFixed(3)}, mAP50-95 ${metrics.map.toFixed(3)}: ${mlflowUrl}/#/experiments/${ids.experimentId}/runs/${ids.runId}`);
    // One row an epoch below the header: patience or a time limit may have ended it early.
    const epochs = (await readFile(path.join(folder, "results.csv"), "utf8")).trim().split("\n").length - 1;
    return { ...ids, folder, epochs, map50: metrics.map50, map: metrics.map };
  } catch (error) {
    // The reason stands in MLflow too, for whoever looks there first. Telling it must not hide the reason itself.
    spool.add({ kind: "tag", key: "mlflow.note.content", value: `${signal.aborted ? "Stopped" : "Failed"}: ${(error as Error).message}`.slice(0, 4000) });
    spool.add({ kind: "end", status: signal.aborted ? "KILLED" : "FAILED" });
    await spool.flush(signal.aborted ? 1000 : 30_000).catch((late: unknown) => log.warn((late as Error).message));
    throw error instanceof TrainingHopeless ? new TerminalError(error.message, { cause: error }) : error;
  }
}

const isThere = (file: string) =>
  access(file).then(
    () => true,
    () => false,
  );

/** A run's options as MLflow's parameters, under the names that people know. */
function loggedOptions({ size, side, augment, ...rest }: TrainOptions): Record<string, string | number | boolean> {
  const all = { model: `yolov8${size}`, imgsz: side, ...rest, ...augment };
  return Object.fromEntries(Object.entries(all).map(([name, value]) => [name, value ?? "auto"]));
}

/** Steps in Airflow's log: plain lines, a few an epoch. */
function progressLog(log: { info(text: string): void }) {
  const everyMs = 15_000;
  let last = Date.now();
  return ({ progress, memoryMiB }: Extract<ChildMessage, { kind: "step" }>) => {
    if (Date.now() - last < everyMs) return;
    last = Date.now();
    const { step, steps, epoch, epochs, losses, imagesPerSecond } = progress;
    const [box, cls, dfl] = losses.map((loss) => loss.toFixed(3));
    log.info(`epoch ${epoch}/${epochs}, step ${step}/${steps}: box ${box}, cls ${cls}, dfl ${dfl}, ${imagesPerSecond.toFixed(1)} images/s, ${memoryMiB} MiB`);
  };
}

function epochLine({ epoch, boxLoss, clsLoss, dflLoss, metrics, imagesPerSecond, seconds }: EpochReport, epochs: number): string {
  const left = Math.round((epochs - epoch) * seconds);
  const losses = `box ${boxLoss.toFixed(3)}, cls ${clsLoss.toFixed(3)}, dfl ${dflLoss.toFixed(3)}`;
  return `epoch ${epoch}/${epochs}: ${losses}, mAP50 ${metrics.map50.toFixed(3)}, mAP50-95 ${metrics.map.toFixed(3)}, ${imagesPerSecond.toFixed(1)} images/s, about ${left} s left`;
}

function epochMetrics(report: EpochReport) {
  const { metrics } = report;
  const values = {
    "train/box_loss": report.boxLoss,
    "train/cls_loss": report.clsLoss,
    "train/dfl_loss": report.dflLoss,
    "val/box_loss": report.valBoxLoss,
    "val/cls_loss": report.valClsLoss,
    "val/dfl_loss": report.valDflLoss,
    // MLflow refuses the parentheses that the file's column names have.
    "metrics/precisionB": metrics.precision,
    "metrics/recallB": metrics.recall,
    "metrics/mAP50B": metrics.map50,
    "metrics/mAP50-95B": metrics.map,
    "lr/pg0": report.learningRates[0],
    "lr/pg1": report.learningRates[1],
    "lr/pg2": report.learningRates[2],
    "system/images_per_second": report.imagesPerSecond,
    "system/memory_mib": report.memoryMiB,
    "system/cpu_percent": report.cpuPercent,
  };
  const timestamp = Date.now();
  return Object.entries(values).map(([key, value]) => ({ key, value, step: report.epoch, timestamp }));
}

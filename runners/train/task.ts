import { mkdir, writeFile } from "node:fs/promises";
import path from "node:path";
import { task, TerminalError } from "airloom";
import type { EpochReport, TrainJob } from "@airloom/yolo/train/train.ts";
import { platformSettings } from "../platform/settings.ts";
import type { ChildMessage } from "./child.ts";

export interface Trained {
  /** MLflow's ids. */
  readonly runId: string;
  readonly experimentId: string;
  /** Holds best.onnx, best.pt, best.safetensors, last.safetensors, results.csv and results.png. */
  readonly folder: string;
  readonly epochs: number;
  /** The best epoch's figures on the validation split. */
  readonly map50: number;
  readonly map: number;
}

/** Working folders of training runs that stay on disk. */
const keptRuns = 10;

interface TrainInput {
  readonly dataset: { readonly folder: string; readonly commit: string };
  readonly modelName: string;
  readonly epochs: number;
  /** Pixels; a multiple of 32. */
  readonly imgsz: number;
  readonly batch: number;
  readonly seed: number;
}

/** Trains YOLOv8n on a laid-out dataset version, and tells MLflow of every epoch. */
export const trainModel = task("train_model", { timeout: "7d", retries: 1 }, async (input: TrainInput, { log, signal, run }): Promise<Trained> => {
  if (input.imgsz % 32 !== 0) throw new TerminalError(`imgsz is ${input.imgsz}, and must be a multiple of 32`);
  const { readDataFile } = await import("@airloom/dataset-platform/versions/export-version.ts");
  const { keepNewest } = await import("@airloom/dataset-platform/store/keep-newest.ts");
  const { MlflowClient } = await import("../platform/mlflow.ts");
  const { runTrainingChild, TrainingDiverged } = await import("./run-child.ts");
  const { storage, mlflowUrl } = platformSettings();
  const data = await readDataFile(input.dataset.folder);
  const folder = path.join(storage.private, "training", `${run.runId.replace(/[^\w.-]+/g, "_")}-${run.tryNumber}`);
  await mkdir(folder, { recursive: true });
  // What matters of older runs is in MLflow.
  await keepNewest(path.dirname(folder), keptRuns);

  const pictures = (part: typeof data.train) => part.map(({ image, objects }) => ({ file: path.join(input.dataset.folder, image), objects }));
  const { imgsz: side, epochs, batch, seed } = input;
  const job: TrainJob = { train: pictures(data.train), validation: pictures(data.validation), labels: data.labels, size: "n", side, epochs, batch, seed };

  const mlflow = new MlflowClient(mlflowUrl);
  const experimentId = await mlflow.findOrCreateExperiment(input.modelName);
  const tags = { "airflow.dag_id": run.dagId, "airflow.run_id": run.runId, "airflow.try_number": String(run.tryNumber), "dataset.commit": data.commit };
  const runId = await mlflow.createRun(experimentId, `${input.modelName} ${run.runId}`, tags);
  log.info(`MLflow run ${runId}: ${mlflow.url}/#/experiments/${experimentId}/runs/${runId}`);
  try {
    await mlflow.logParams(runId, {
      model: "yolov8n",
      epochs,
      batch,
      imgsz: side,
      seed,
      split: data.split,
      dataset_commit: data.commit,
      train_images: data.train.length,
      val_images: data.validation.length,
      labels: data.labels.join(","),
    });
    await mlflow.logDataset(runId, {
      name: "storage/images",
      digest: data.commit.slice(0, 36),
      source: JSON.stringify({ commit: data.commit, path: "images.dvc" }),
    });
    const reports: EpochReport[] = [];
    // One call after another, so that charts grow in order; a failed one ends the training below.
    let logged: Promise<unknown> = Promise.resolve();
    let failure: unknown;
    const onMessage = (message: ChildMessage) => {
      if (message.kind === "step") log.info(`step ${message.step}/${message.steps}: loss ${message.loss.toFixed(3)}`);
      if (message.kind !== "epoch") return;
      const { report } = message;
      reports.push(report);
      log.info(epochLine(report, epochs));
      logged = logged.then(() => mlflow.logMetrics(runId, epochMetrics(report))).catch((error: unknown) => (failure ??= error));
    };
    await runTrainingChild({ job, folder }, signal, onMessage);
    await logged;
    if (failure) throw failure;

    await writeResults(folder, reports);
    for (const name of ["results.csv", "results.png", "best.pt", "best.safetensors", "last.safetensors"])
      await mlflow.logArtifact(experimentId, runId, path.join(folder, name), name.startsWith("results") ? "" : "weights");
    await mlflow.endRun(runId, "FINISHED");
    const best = reports.findLast((report) => report.best)!;
    log.info(`best epoch ${best.epoch}: mAP50 ${best.metrics.map50.toFixed(3)}, mAP50-95 ${best.metrics.map.toFixed(3)}`);
    return { runId, experimentId, folder, epochs, map50: best.metrics.map50, map: best.metrics.map };
  } catch (error) {
    // The reason stands in MLflow too, for whoever looks there first. Telling it must not hide the reason itself.
    await mlflow.setTag(runId, "mlflow.note.content", `Failed: ${(error as Error).message}`.slice(0, 4000)).catch(() => undefined);
    await mlflow.endRun(runId, signal.aborted ? "KILLED" : "FAILED").catch(() => undefined);
    throw error instanceof TrainingDiverged ? new TerminalError(error.message, { cause: error }) : error;
  }
});

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
    // MLflow refuses the parentheses that the file's column names have.
    "metrics/precisionB": metrics.precision,
    "metrics/recallB": metrics.recall,
    "metrics/mAP50B": metrics.map50,
    "metrics/mAP50-95B": metrics.map,
    "lr/pg0": report.learningRate,
    "system/images_per_second": report.imagesPerSecond,
  };
  const timestamp = Date.now();
  return Object.entries(values).map(([key, value]) => ({ key, value, step: report.epoch, timestamp }));
}

async function writeResults(folder: string, reports: readonly EpochReport[]): Promise<void> {
  const { default: sharp } = await import("sharp");
  const { resultsCsv } = await import("./results-csv.ts");
  const { resultsPlot } = await import("./results-plot.ts");
  await writeFile(path.join(folder, "results.csv"), resultsCsv(reports));
  await sharp(Buffer.from(resultsPlot(reports)))
    .png()
    .toFile(path.join(folder, "results.png"));
}

import { readFile, rename, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import sharp from "sharp";
import { analyse, type Analysis } from "../metrics/analysis.ts";
import { layoutOf, type Weights } from "../nn/parameters.ts";
import { calibrate } from "../onnx/calibrate.ts";
import { exportOnnx } from "../onnx/export.ts";
import { confusionChart, curveCharts, labelsChart, resultsChart } from "../plots/charts.ts";
import { type Annotated, drawMosaic } from "../plots/mosaic.ts";
import { type Figure, htmlReport } from "../report/html.ts";
import { modelCard, type Origin } from "../report/model-card.ts";
import { resultsCsv } from "../report/results-csv.ts";
import { writeCheckpoint, writeTorchCheckpoint } from "../weights/checkpoint.ts";
import { licenceOf, type StartingWeights } from "../weights/licence.ts";
import type { WeightsFile } from "../weights/safetensors.ts";
import { readWeightsFile, takeWeights } from "../weights/take-weights.ts";
import { automaticBatch } from "./auto-batch.ts";
import { bfloat16Advice, cpuinfo } from "./bfloat16.ts";
import { checkData, DataError } from "./check-data.ts";
import { loadBatches } from "./loader.ts";
import { loadPicture } from "./pictures.ts";
import { readRunState, type RunState, writeRunState } from "./run-state.ts";
import { differences, type EpochReport, fingerprintOf, type StepProgress, train, type TrainJob } from "./train.ts";
import { Validator } from "./validate.ts";

/** What a run in a folder tells its caller. */
export interface FolderEvents {
  onNote(text: string): void;
  onStep(progress: StepProgress): void;
  onEpoch(report: EpochReport): Promise<void> | void;
}

/** How a run in a folder ended. */
export interface FolderEnd {
  /** "stopped" is a run that was asked to stop, and that goes on when it is started again. */
  readonly why: "epochs" | "patience" | "time" | "stopped";
  readonly reports: readonly EpochReport[];
}

/** Training pictures on which the 8-bit model's ranges are found. */
const calibrationPictures = 64;

/** Where a run's state is kept; `resume` in the name that people look for. */
const stateFile = "resume.safetensors";
/** The state of the run before, where that has other data or options. */
const putAside = "resume.previous.safetensors";

/** Written whole or not at all. */
async function writeWhole(file: string, data: string | Uint8Array): Promise<void> {
  const temporary = `${file}.${process.pid}.tmp`;
  try {
    await writeFile(temporary, data);
    await rename(temporary, file);
  } catch (error) {
    await rm(temporary, { force: true });
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOSPC")
      throw new Error(`${file} cannot be written: the disk is full. Make room and start the run again: it goes on from its last epoch.`, { cause: error });
    throw error;
  }
}

/**
 * Runs a job and leaves everything in `folder`: weights (best and last; safetensors, .pt, ONNX), results.csv, plots, mosaics,
 * a report and a model card. The state is saved after each epoch and when `signal` asks to stop; a folder that holds the
 * state of the same job is gone on from.
 */
export async function trainInFolder(asked: TrainJob, folder: string, origin: Origin, events: FolderEvents, signal?: AbortSignal): Promise<FolderEnd> {
  const place = (name: string) => path.join(folder, name);
  const { job, state } = await goOnOrBegin(asked, folder, events);
  for (const odd of await checkData(job)) events.onNote(odd);
  const advice = bfloat16Advice(job.options.precision === "bf16", await cpuinfo());
  if (advice) events.onNote(advice);
  const { labels, options } = job;
  const config = { size: options.size, classes: labels.length };
  if (!state) await writeInputs(job, folder);
  let reports: readonly EpochReport[] = state?.reports ?? [];
  let best = state?.best;
  const start = await weightsToBegin(options.weights, state !== undefined);
  const licence = licenceOf(start);
  const checkpoint = (weights: Weights) => ({ config, labels, side: options.side, weights, licence });

  const end = await train(
    job,
    {
      onStep: events.onStep,
      onEpoch: async (report, weights, stateNow) => {
        reports = [...reports, report];
        if (report.best) {
          best = weights;
          await writeWhole(place("best.safetensors"), writeCheckpoint(checkpoint(weights)));
        }
        await writeWhole(place(stateFile), writeRunState(stateNow()));
        await writeWhole(place("results.csv"), resultsCsv(reports));
        await events.onEpoch(report);
      },
    },
    state ? { state } : start?.tensors ? { weights: fitting(job, start.tensors, events) } : {},
    signal,
  );
  if (end.kind === "stopped") {
    await writeWhole(place(stateFile), writeRunState(end.state));
    return { why: "stopped", reports };
  }
  if (!best) throw new Error("training ended without an epoch");
  await writeWhole(place("last.safetensors"), writeCheckpoint(checkpoint(end.weights)));
  await writeWhole(place("best.pt"), await writeTorchCheckpoint(checkpoint(best)));
  const layout = layoutOf(config);
  await writeWhole(place("best.onnx"), exportOnnx(config, layout, best, { side: options.side, labels, licence }));
  const shown = await Promise.all(job.train.slice(0, calibrationPictures).map((picture) => loadPicture(picture, options.side)));
  const ranges = calibrate(config, layout, best, shown, options.side);
  await writeWhole(place("best.int8.onnx"), exportOnnx(config, layout, best, { side: options.side, labels, licence, ranges }));
  await writeOutputs(job, folder, best, reports, (analysis) => modelCard(job, analysis, origin, start));
  // It is of no more use, and the largest file here.
  await rm(place(stateFile), { force: true });
  return { why: end.why, reports };
}

/** The file of weights that a run begins with; a run that goes on needs only its licence, and not that it is still there. */
async function weightsToBegin(file: string | undefined, goesOn: boolean): Promise<(StartingWeights & Partial<WeightsFile>) | undefined> {
  if (!file) return undefined;
  try {
    return { file, ...readWeightsFile(await readFile(file)) };
  } catch (error) {
    if (goesOn) return { file };
    throw new DataError(`training cannot begin with ${file}: ${(error as Error).message}`, { cause: error });
  }
}

/** A job's weights from a file's tensors; says what of them fits. */
function fitting({ labels, options }: TrainJob, tensors: WeightsFile["tensors"], events: FolderEvents): Weights {
  const layout = layoutOf({ size: options.size, classes: labels.length });
  const { weights, report } = takeWeights(layout, tensors, options.seed);
  if (report.matched === 0) throw new DataError(`nothing in ${options.weights} fits yolov8${options.size}: is it of another network, or of another size?`);
  events.onNote(`weights: ${report.matched} of ${report.of} parameters and statistics from ${options.weights}`);
  for (const text of report.fresh.slice(0, mostTold)) events.onNote(`begins anew: ${text}`);
  if (report.fresh.length > mostTold) events.onNote(`… and ${report.fresh.length - mostTold} more begin anew`);
  if (report.unused.length > 0)
    events.onNote(
      `not used: ${report.unused.slice(0, mostTold).join(", ")}${report.unused.length > mostTold ? ` and ${report.unused.length - mostTold} more` : ""}`,
    );
  return weights;
}

/** Of parameters that begin anew so many are named. */
const mostTold = 8;

/**
 * The job, with its batch chosen, and the state that it goes on from, if the folder holds one of it. The state of a job with
 * other data or options is put aside: where those come back, so does it.
 */
async function goOnOrBegin(asked: TrainJob, folder: string, events: FolderEvents): Promise<{ job: TrainJob; state?: RunState }> {
  const place = (name: string) => path.join(folder, name);
  let other: string[] | undefined;
  for (const name of [stateFile, putAside]) {
    const state = await savedState(place(name));
    if (!state) continue;
    const job = withBatch(asked, events, state.batch);
    const differ = differences(state.fingerprint, fingerprintOf(job));
    if (differ.length === 0) {
      const stepsPerEpoch = Math.ceil(job.train.length / job.options.batch);
      events.onNote(`going on from epoch ${Math.floor(state.step / stepsPerEpoch) + 1}, step ${(state.step % stepsPerEpoch) + 1}`);
      return { job, state };
    }
    other ??= differ;
  }
  if (other) {
    events.onNote(
      `the run that is saved in ${folder} has other ${other.join(" and ")}: beginning anew. It is kept as ${putAside}; where they are as they were, it goes on`,
    );
    await rename(place(stateFile), place(putAside)).catch((error: NodeJS.ErrnoException) => {
      // It was put aside before.
      if (error.code !== "ENOENT") throw error;
    });
  }
  return { job: withBatch(asked, events) };
}

async function savedState(file: string): Promise<RunState | undefined> {
  const bytes = await readFile(file).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return undefined;
    throw error;
  });
  return bytes && readRunState(bytes);
}

/** The job with its batch; an automatic one is chosen by the memory that is free, and stays what it is for the whole run. */
function withBatch(job: TrainJob, events: FolderEvents, saved?: number): TrainJob {
  const { options, labels } = job;
  if (options.batch !== 0) return job;
  const available = process.availableMemory() * shareOfMemory;
  const batch = saved ?? automaticBatch({ size: options.size, classes: labels.length }, options, available);
  events.onNote(saved ? `batch ${batch}, as before` : `batch ${batch}, for ${(available / 2 ** 30).toFixed(1)} GiB of memory`);
  return { ...job, options: { ...options, batch } };
}

/** Of the free memory an automatic batch takes so much: the rest is for pictures, and for others. */
const shareOfMemory = 0.6;

/** What the data looks like, before training: the labels, and batches as the network gets them. */
async function writeInputs(job: TrainJob, folder: string): Promise<void> {
  const { labels, options, train: pictures } = job;
  const chart = labelsChart(
    pictures.flatMap(({ objects }) => objects),
    labels,
  );
  await writeWhole(path.join(folder, "labels.png"), await png(chart));
  await writeWhole(path.join(folder, "labels.svg"), chart);
  const { side, batch, seed, augment } = options;
  const steps = Math.min(3, Math.ceil(pictures.length / batch));
  const requests = Array.from({ length: steps }, (_, step) => ({ epoch: 0, step, mosaic: true }));
  let i = 0;
  for await (const { images, boxes, classes, objects } of loadBatches(
    { pictures, side, batch, classes: labels.length, seed, augment, cacheBytes: 0 },
    requests,
  )) {
    const shown = Array.from({ length: batch }, (_, n): Annotated => {
      const found = Array.from({ length: objects }, (__, j) => ({
        cls: classes[n * objects + j]!,
        box: [...boxes.subarray((n * objects + j) * 4, (n * objects + j) * 4 + 4)],
      }));
      const own = found.filter(({ cls }) => cls >= 0) as unknown as Annotated["boxes"];
      return { pixels: images.subarray(n * side * side * 3, (n + 1) * side * side * 3), width: side, height: side, boxes: own };
    });
    await writeWhole(path.join(folder, `train_batch${i++}.jpg`), await drawMosaic(shown, labels));
  }
}

const png = (chart: string) => sharp(Buffer.from(chart)).png().toBuffer();

/** Detections below this are not drawn. */
const drawnScore = 0.25;

async function writeOutputs(
  job: TrainJob,
  folder: string,
  best: Weights,
  reports: readonly EpochReport[],
  card: (analysis: Analysis) => string,
): Promise<Analysis> {
  const { labels, options, validation } = job;
  const config = { size: options.size, classes: labels.length };
  const validator = new Validator(validation, { config, layout: layoutOf(config), side: options.side, batch: options.batch, cacheBytes: 0 });
  const { evaluated } = await validator.run(best);
  await validator.dispose();
  const analysis = analyse(evaluated, labels.length);
  const shown = await Promise.all(validation.slice(0, 16).map((picture) => loadPicture(picture, options.side)));
  const mosaics = {
    val_batch0_labels: await drawMosaic(
      shown.map((picture) => ({ ...picture, boxes: picture.objects })),
      labels,
    ),
    val_batch0_pred: await drawMosaic(
      shown.map((picture, i) => ({ ...picture, boxes: evaluated[i]!.detections.filter(({ score }) => score >= drawnScore) })),
      labels,
    ),
  };
  const curves = curveCharts(analysis, labels);
  const charts: Record<string, string> = {
    results: resultsChart(reports),
    confusion_matrix: confusionChart(analysis.confusion, labels, false),
    confusion_matrix_normalized: confusionChart(analysis.confusion, labels, true),
    ...curves,
  };
  for (const [name, chart] of Object.entries(charts)) await writeWhole(path.join(folder, `${name}.png`), await png(chart));
  for (const [name, picture] of Object.entries(mosaics)) await writeWhole(path.join(folder, `${name}.jpg`), picture);
  const labelsSvg = await readFile(path.join(folder, "labels.svg"), "utf8");
  const figures: Figure[] = [
    { title: "The course of training", content: charts["results"]! },
    { title: "What the model finds in validation pictures", content: mosaics.val_batch0_pred },
    { title: "What is in them", content: mosaics.val_batch0_labels },
    { title: "Confusion matrix", content: charts["confusion_matrix"]! },
    { title: "Confusion matrix, normalised", content: charts["confusion_matrix_normalized"]! },
    ...Object.entries(curves).map(([title, content]) => ({ title, content })),
    { title: "Labels of the training split", content: labelsSvg },
    { title: "Training pictures as the network gets them", content: await readFile(path.join(folder, "train_batch0.jpg")) },
  ];
  await writeWhole(path.join(folder, "report.html"), htmlReport(job, reports, analysis, figures));
  await writeWhole(path.join(folder, "model-card.md"), card(analysis));
  await writeWhole(path.join(folder, "analysis.json"), JSON.stringify(analysis));
  await rm(path.join(folder, "labels.svg"), { force: true });
  return analysis;
}

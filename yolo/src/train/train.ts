import * as tf from "@tensorflow/tfjs-node";
import { defaultAugment } from "../augment/sample.ts";
import { oneHot } from "../loss/one-hot.ts";
import type { Metrics } from "../metrics/average-precision.ts";
import type { Size } from "../nn/model.ts";
import { initialWeights, layoutOf, type Weights } from "../nn/parameters.ts";
import { type HostBatch, loadBatches } from "./loader.ts";
import type { TrainState } from "./optimizer.ts";
import { loadPicture, type PictureFile } from "./pictures.ts";
import { planFor, ratesAt } from "./schedule.ts";
import { type Batch, initialState, runStepEagerly, stepSetting } from "./step.ts";
import { validate } from "./validate.ts";

/** Everything that decides a training run. */
export interface TrainJob {
  readonly train: readonly PictureFile[];
  readonly validation: readonly PictureFile[];
  readonly labels: readonly string[];
  readonly size: Size;
  /** Side of the square training pictures, pixels; a multiple of 32. */
  readonly side: number;
  readonly epochs: number;
  readonly batch: number;
  readonly seed: number;
}

/** One epoch's figures. Losses are means over its steps. */
export interface EpochReport {
  /** From 1. */
  readonly epoch: number;
  readonly boxLoss: number;
  readonly clsLoss: number;
  readonly dflLoss: number;
  readonly metrics: Metrics;
  readonly learningRate: number;
  readonly imagesPerSecond: number;
  readonly seconds: number;
  /** Whether these are the best weights so far. */
  readonly best: boolean;
}

/** What a run tells its caller while it goes on. */
export interface TrainEvents {
  /** After each step. `steps` is the number of all steps. */
  onStep?(step: number, steps: number, loss: number): void;
  /** After each epoch, with the averaged weights. */
  onEpoch(report: EpochReport, weights: Weights): Promise<void>;
}

/** The loss became infinite or not a number. */
export class DivergedError extends Error {}

/** One number to choose the best weights by: mostly mAP50-95, a little mAP50. */
export const fitness = ({ map50, map }: Metrics): number => 0.1 * map50 + 0.9 * map;

function toDevice({ images, boxes, classes, objects }: HostBatch, { side, batch, labels }: TrainJob): Batch {
  return tf.tidy(() => {
    const index = tf.tensor2d(classes, [batch, objects], "int32");
    return {
      images: tf.tensor4d(images, [batch, side, side, 3]),
      boxes: tf.tensor3d(boxes, [batch, objects, 4]),
      classes: oneHot(index, labels.length) as tf.Tensor3D,
      present: tf.expandDims<tf.Tensor3D>(tf.cast(tf.greaterEqual(index, 0), "float32"), 2),
    };
  });
}

async function averagedWeights(state: TrainState): Promise<Weights> {
  const [parameters, stats] = await Promise.all([state.averaged.data(), state.averagedStats.data()]);
  return { parameters: Float32Array.from(parameters), stats: Float32Array.from(stats) };
}

/** Trains a model from scratch; the same job gives the same result on the same machine. */
export async function train(job: TrainJob, events: TrainEvents): Promise<void> {
  const config = { size: job.size, classes: job.labels.length };
  const layout = layoutOf(config);
  const stepsPerEpoch = Math.ceil(job.train.length / job.batch);
  const plan = planFor({ classes: config.classes, stepsPerEpoch, epochs: job.epochs });
  const setting = stepSetting(config, layout, job.side, plan.optimizer, plan.weightDecay);
  const validation = await Promise.all(job.validation.map((picture) => loadPicture(picture, job.side)));
  let state = initialState(initialWeights(layout, job.seed));
  const closeMosaic = Math.min(10, Math.floor(job.epochs / 5));
  const { train: pictures, side, batch, epochs, seed } = job;
  const batches = loadBatches({ pictures, side, batch, epochs, closeMosaic, seed, augment: defaultAugment });

  let step = 0;
  let sums = [0, 0, 0];
  let best = -1;
  let epochStarted = performance.now();
  for await (const host of batches) {
    const rates = ratesAt(plan, step);
    const result = runStepEagerly(setting, state, toDevice(host, job), rates);
    state = result.state;
    step++;
    const loss = result.parts.reduce((sum, part) => sum + part, 0);
    if (!Number.isFinite(loss)) throw new DivergedError(`the loss became ${loss} in step ${step} (learning rate ${rates.learningRate})`);
    sums = sums.map((sum, i) => sum + result.parts[i]!);
    events.onStep?.(step, stepsPerEpoch * epochs, loss);
    if (step % stepsPerEpoch !== 0) continue;

    const trainedFor = (performance.now() - epochStarted) / 1000;
    const weights = await averagedWeights(state);
    const metrics = await validate(config, layout, weights, validation, side);
    const score = fitness(metrics);
    const [boxLoss, clsLoss, dflLoss] = sums.map((sum) => sum / stepsPerEpoch) as [number, number, number];
    const report: EpochReport = {
      epoch: step / stepsPerEpoch,
      boxLoss,
      clsLoss,
      dflLoss,
      metrics,
      learningRate: rates.learningRate,
      imagesPerSecond: (stepsPerEpoch * batch) / trainedFor,
      seconds: (performance.now() - epochStarted) / 1000,
      best: score > best,
    };
    best = Math.max(best, score);
    await events.onEpoch(report, weights);
    sums = [0, 0, 0];
    epochStarted = performance.now();
  }
  tf.dispose(Object.values(state) as tf.Tensor[]);
}

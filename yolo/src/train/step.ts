import * as tf from "@tensorflow/tfjs-node";
import { anchorTensors, type AnchorTensors, flattenLevels, unflattenGradient } from "../loss/decode.ts";
import { detectionLoss } from "../loss/loss.ts";
import type { Truth } from "../loss/assign.ts";
import { type ModelConfig, yolov8 } from "../nn/model.ts";
import { type Layout, normMomentum, type Weights } from "../nn/parameters.ts";
import { trainingPass } from "../nn/train-layers.ts";
import { type Masks, masksOf, optimise, type OptimizerKind, type StepRates, type TrainState } from "./optimizer.ts";

/** What stays the same in all steps of a run. */
export interface StepSetting {
  readonly config: ModelConfig;
  readonly layout: Layout;
  readonly optimizer: OptimizerKind;
  readonly weightDecay: number;
  readonly anchors: AnchorTensors;
  readonly masks: Masks;
}

export function stepSetting(config: ModelConfig, layout: Layout, side: number, optimizer: OptimizerKind, weightDecay: number): StepSetting {
  return { config, layout, optimizer, weightDecay, anchors: anchorTensors(side, side), masks: masksOf(layout) };
}

/** A batch on the device: `images` [batch, side, side, 3] float32 RGB in 0 … 1. */
export interface Batch extends Truth {
  readonly images: tf.Tensor4D;
}

/** The state before the first step. */
export function initialState({ parameters, stats }: Weights): TrainState {
  const vector = (values: Float32Array) => tf.tensor1d(values);
  return {
    parameters: vector(parameters),
    first: tf.zeros([parameters.length]),
    second: tf.zeros([parameters.length]),
    stats: vector(stats),
    averaged: vector(parameters),
    averagedStats: vector(stats),
  };
}

/** Loss parts [3] and flat gradient for one batch, with the batch's own statistics: what one step learns from. */
export function lossAndGradient(
  setting: StepSetting,
  parameters: tf.Tensor1D,
  batch: Batch,
): { parts: tf.Tensor1D; gradient: tf.Tensor1D; batchStats: tf.Tensor1D } {
  const pass = trainingPass(setting.layout, parameters, batch.images);
  const levels = yolov8<tf.Tensor>(pass.layers, batch.images, setting.config);
  const { box, cls } = flattenLevels(levels);
  const { parts, boxGradient, clsGradient } = detectionLoss(box, cls, batch, setting.anchors);
  const boxes = levels.map((level) => level.box);
  const classes = levels.map((level) => level.cls);
  unflattenGradient(boxes, boxGradient).forEach((gradient, i) => pass.tape.give(boxes[i]!, gradient));
  unflattenGradient(classes, clsGradient).forEach((gradient, i) => pass.tape.give(classes[i]!, gradient));
  pass.tape.backward();
  return { parts, gradient: pass.gradient(), batchStats: pass.batchStats() };
}

/** One update: forward, loss, backward, optimiser, running statistics, moving averages. A pure function of its tensors. */
export function trainStep(
  setting: StepSetting,
  state: TrainState,
  batch: Batch,
  rates: Record<keyof StepRates, tf.Scalar>,
): TrainState & { readonly parts: tf.Tensor1D } {
  const { parts, gradient, batchStats } = lossAndGradient(setting, state.parameters, batch);
  const next = optimise(setting.optimizer, state, gradient, setting.masks, setting.weightDecay, rates);
  const stats = tf.add(tf.mul(state.stats, 1 - normMomentum), tf.mul(batchStats, normMomentum)) as tf.Tensor1D;
  const average = (old: tf.Tensor1D, now: tf.Tensor1D) => tf.add(tf.mul(old, rates.averageDecay), tf.mul(now, tf.sub(1, rates.averageDecay))) as tf.Tensor1D;
  return { ...next, stats, averaged: average(state.averaged, next.parameters), averagedStats: average(state.averagedStats, stats), parts };
}

/** Runs `trainStep` at once, frees the old state and the batch, and gives the new state and the loss parts. */
export function runStepEagerly(setting: StepSetting, state: TrainState, batch: Batch, rates: StepRates): { state: TrainState; parts: Float32Array } {
  const { parts, ...next } = inTidy(() => {
    const scalars = Object.fromEntries(Object.entries(rates).map(([name, value]) => [name, tf.scalar(value as number)]));
    return trainStep(setting, state, batch, scalars as Record<keyof StepRates, tf.Scalar>);
  });
  const values = parts.dataSync() as Float32Array;
  tf.dispose([parts, ...Object.values(state), ...Object.values(batch)] as tf.Tensor[]);
  return { state: next, parts: values };
}

/** `tf.tidy` for a result that is an object of tensors, which tfjs types only with an index signature. */
function inTidy<T extends object>(work: () => T): T {
  return tf.tidy(() => work() as unknown as tf.TensorContainerObject) as unknown as T;
}

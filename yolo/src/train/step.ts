import * as tf from "@tensorflow/tfjs-node";
import type { Truth } from "../loss/assign.ts";
import { anchorTensors, type AnchorTensors, flattenLevels, unflattenGradient } from "../loss/decode.ts";
import { detectionLoss } from "../loss/loss.ts";
import { oneHot } from "../loss/one-hot.ts";
import { type ModelConfig, yolov8 } from "../nn/model.ts";
import { type Layout, layoutOf, normMomentum } from "../nn/parameters.ts";
import { type Precision, trainingPass } from "../nn/train-layers.ts";
import { optimise, type OptimizerKind, rateTensors, type TrainState } from "./optimizer.ts";

/** What stays the same in all steps of a run. */
export interface StepSetting {
  readonly config: ModelConfig;
  readonly layout: Layout;
  readonly optimizer: OptimizerKind;
  readonly weightDecay: number;
  readonly anchors: AnchorTensors;
  /** Whether gradients of several batches are gathered for an update. */
  readonly gathers: boolean;
  /** Parameters whose names begin with one of these stay as they are. */
  readonly frozen: readonly string[];
  readonly precision: Precision;
}

export interface StepOptions extends Pick<StepSetting, "optimizer" | "weightDecay">, Partial<Pick<StepSetting, "gathers" | "frozen" | "precision">> {
  readonly config: ModelConfig;
  readonly side: number;
}

export function stepSetting({ side, gathers = false, frozen = [], precision = "fp32", ...rest }: StepOptions): StepSetting {
  return { ...rest, layout: layoutOf(rest.config), anchors: anchorTensors(side, side), gathers, frozen, precision };
}

/** A batch on the device. */
export interface Batch {
  /** [batch, side, side, 3] float32 RGB in 0 … 1. */
  readonly images: tf.Tensor4D;
  /** [batch, objects, 4] float32, xyxy pixels. */
  readonly boxes: tf.Tensor3D;
  /** [batch, objects] int32 class index, −1 for padding. */
  readonly classes: tf.Tensor2D;
  /** [batch, classes] float32: 1 for an asked class, else 0; without it, all were asked. */
  readonly asked?: tf.Tensor2D | undefined;
}

/** What the loss compares with, for `count` classes. */
export function truthOf({ boxes, classes, asked }: Omit<Batch, "images">, count: number): Truth {
  const present = tf.expandDims<tf.Tensor3D>(tf.cast(tf.greaterEqual(classes, 0), "float32"), 2);
  return { boxes, classes: oneHot(classes, count) as tf.Tensor3D, present, asked };
}

/** Loss parts [3] and flat gradient for one batch, with the batch's own statistics: what one step learns from. */
export function lossAndGradient(
  setting: StepSetting,
  parameters: tf.Tensor1D,
  batch: Batch,
): { parts: tf.Tensor1D; gradient: tf.Tensor1D; batchStats: tf.Tensor1D } {
  const pass = trainingPass(setting.layout, parameters, batch.images, setting.precision);
  const levels = yolov8<tf.Tensor>(pass.layers, batch.images, setting.config);
  const { box, cls } = flattenLevels(levels);
  const { parts, boxGradient, clsGradient } = detectionLoss(box, cls, truthOf(batch, setting.config.classes), setting.anchors);
  const boxes = levels.map((level) => level.box);
  const classes = levels.map((level) => level.cls);
  unflattenGradient(boxes, boxGradient).forEach((gradient, i) => pass.tape.give(boxes[i]!, gradient));
  unflattenGradient(classes, clsGradient).forEach((gradient, i) => pass.tape.give(classes[i]!, gradient));
  pass.tape.backward();
  return { parts, gradient: pass.gradient(), batchStats: pass.batchStats() };
}

/** What a batch alone changes: the sum of gradients so far, and the running statistics. */
export interface Gathered {
  /** The losses [3]: box, cls, dfl. */
  readonly parts: tf.Tensor1D;
  readonly gradient: tf.Tensor1D;
  readonly stats: tf.Tensor1D;
}

/** Forward and backward for one batch; its gradient is added to those of the batches before it. */
export function gatherStep(setting: StepSetting, state: TrainState, batch: Batch): Gathered {
  const { parts, gradient, batchStats } = lossAndGradient(setting, state.parameters, batch);
  const stats = tf.add(tf.mul(state.stats, 1 - normMomentum), tf.mul(batchStats, normMomentum)) as tf.Tensor1D;
  return { parts, gradient: setting.gathers ? tf.add(state.gathered, gradient) : gradient, stats };
}

/**
 * One update from what was gathered: optimiser and moving averages. With `gatherStep` a pure function of its tensors, which
 * is what lets it be recorded; `rates` is a `rateVector`.
 */
export function updateStep(setting: StepSetting, state: TrainState, { gradient, stats }: Gathered, rates: tf.Tensor1D): TrainState {
  const scalars = rateTensors(rates);
  const free = freeMask(setting);
  const next = optimise(setting.optimizer, state, free ? tf.mul(gradient, free) : gradient, setting.layout, setting.weightDecay, scalars);
  const parameters: tf.Tensor1D = free ? tf.add(state.parameters, tf.mul(tf.sub(next.parameters, state.parameters), free)) : next.parameters;
  const newShare = tf.sub(1, scalars.averageDecay);
  const average = (old: tf.Tensor1D, now: tf.Tensor1D) => tf.add(old, tf.mul(tf.sub(now, old), newShare)) as tf.Tensor1D;
  return {
    ...next,
    parameters,
    gathered: setting.gathers ? tf.fill([setting.layout.length], 0) : state.gathered,
    stats,
    averaged: average(state.averaged, parameters),
    averagedStats: average(state.averagedStats, stats),
  };
}

/** 1 where parameters may change, 0 where they are frozen [parameters]; undefined where all may. */
function freeMask({ layout, frozen }: StepSetting): tf.Tensor1D | undefined {
  if (frozen.length === 0) return undefined;
  const runs: { length: number; free: number }[] = [];
  for (const { name, length } of layout.slots.values()) {
    const free = frozen.some((prefix) => name.startsWith(prefix)) ? 0 : 1;
    const last = runs.at(-1);
    if (last?.free === free) last.length += length;
    else runs.push({ length, free });
  }
  return tf.concat1d(runs.map(({ length, free }) => tf.fill([length], free)));
}

import * as tf from "@tensorflow/tfjs-node";
import type { Layout } from "../nn/parameters.ts";

/** What a step changes: flat float32 vectors in the layout's order. The holder disposes them. */
export interface TrainState {
  readonly parameters: tf.Tensor1D;
  /** The optimiser's first and second moments; SGD uses the first as its velocity. */
  readonly first: tf.Tensor1D;
  readonly second: tf.Tensor1D;
  /** Batch norm's running statistics. */
  readonly stats: tf.Tensor1D;
  /** Exponential moving averages of parameters and statistics, which are what is evaluated and kept. */
  readonly averaged: tf.Tensor1D;
  readonly averagedStats: tf.Tensor1D;
}

/** The numbers of one step, as scalars so that a recorded step can be given new ones. */
export interface StepRates {
  readonly learningRate: number;
  /** Learning rate of biases, which differs from the rest during SGD's warm-up. */
  readonly biasRate: number;
  /** SGD's momentum, or AdamW's β₁. */
  readonly momentum: number;
  /** Share of the old average that the moving average keeps. */
  readonly averageDecay: number;
  /** Number of this update, from 1. */
  readonly update: number;
}

export type OptimizerKind = "SGD" | "AdamW";

/** Constant vectors of a layout: 1 where weights decay, and 1 where biases are. */
export interface Masks {
  readonly decay: tf.Tensor1D;
  readonly bias: tf.Tensor1D;
}

export function masksOf(layout: Layout): Masks {
  const run = (from: number, to: number) => tf.tensor1d(new Float32Array(layout.length).fill(1, from, to));
  return { decay: run(0, layout.decayEnd), bias: run(layout.biasStart, layout.length) };
}

const maxNorm = 10;
const beta2 = 0.999;
const adamEpsilon = 1e-8;

/**
 * The next parameters and moments. Gradients are clipped to a norm of 10 first.
 * SGD: Nesterov's momentum in torch's form, decay added to the gradient. AdamW: arXiv 1711.05101, algorithm 2.
 */
export function optimise(
  kind: OptimizerKind,
  state: Pick<TrainState, "parameters" | "first" | "second">,
  gradient: tf.Tensor1D,
  masks: Masks,
  weightDecay: number,
  rates: Record<keyof StepRates, tf.Scalar>,
): Pick<TrainState, "parameters" | "first" | "second"> {
  const norm = tf.sqrt(tf.sum(tf.square(gradient)));
  const g = tf.mul(gradient, tf.minimum(1, tf.div(maxNorm, tf.add(norm, 1e-6)))) as tf.Tensor1D;
  const rate = tf.add(rates.learningRate, tf.mul(masks.bias, tf.sub(rates.biasRate, rates.learningRate)));
  if (kind === "SGD") {
    const decayed = tf.add(g, tf.mul(tf.mul(state.parameters, masks.decay), weightDecay));
    const first = tf.add(tf.mul(state.first, rates.momentum), decayed) as tf.Tensor1D;
    const ahead = tf.add(decayed, tf.mul(first, rates.momentum));
    return { parameters: tf.sub(state.parameters, tf.mul(rate, ahead)), first, second: tf.clone(state.second) };
  }
  const decayed = tf.mul(state.parameters, tf.sub(1, tf.mul(tf.mul(rate, weightDecay), masks.decay)));
  const first = tf.add(tf.mul(state.first, rates.momentum), tf.mul(g, tf.sub(1, rates.momentum))) as tf.Tensor1D;
  const second = tf.add(tf.mul(state.second, beta2), tf.mul(tf.square(g), 1 - beta2)) as tf.Tensor1D;
  const firstHat = tf.div(first, tf.sub(1, tf.pow(rates.momentum, rates.update)));
  const secondHat = tf.div(second, tf.sub(1, tf.pow(beta2, rates.update)));
  const change = tf.div(firstHat, tf.add(tf.sqrt(secondHat), adamEpsilon));
  return { parameters: tf.sub(decayed, tf.mul(rate, change)), first, second };
}

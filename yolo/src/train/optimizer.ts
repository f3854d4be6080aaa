import * as tf from "@tensorflow/tfjs-node";
import type { Layout } from "../nn/parameters.ts";

/** What a step changes: flat float32 vectors in the layout's order. The holder disposes them. */
export interface TrainState {
  readonly parameters: tf.Tensor1D;
  /** The optimiser's first and second moments; SGD uses the first as its velocity. */
  readonly first: tf.Tensor1D;
  readonly second: tf.Tensor1D;
  /** Gradients of the batches since the last update; of length 0 where every batch is an update. */
  readonly gathered: tf.Tensor1D;
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

const maxNorm = 10;
const beta2 = 0.999;
const adamEpsilon = 1e-8;

/** The rates of a step as scalars. */
export type RateTensors = Readonly<Record<keyof StepRates, tf.Scalar>>;

const rateNames = ["learningRate", "biasRate", "momentum", "averageDecay", "update"] as const satisfies (keyof StepRates)[];

/** Numbers in a `rateVector`. */
export const rateCount = rateNames.length;

/** The rates as one vector, which is how they reach a step. */
export const rateVector = (rates: StepRates): Float32Array => Float32Array.from(rateNames, (name) => rates[name]);

/** The scalars of `rateVector`. */
export function rateTensors(vector: tf.Tensor1D): RateTensors {
  const scalars = tf.split(vector, rateNames.length).map((part) => tf.reshape(part, []) as tf.Scalar);
  return Object.fromEntries(rateNames.map((name, i) => [name, scalars[i]!])) as Record<keyof StepRates, tf.Scalar>;
}

/**
 * The next parameters and moments. Gradients are clipped to a norm of 10 first.
 * SGD: Nesterov's momentum in torch's form, decay added to the gradient. AdamW: arXiv 1711.05101, algorithm 2.
 *
 * Each of the layout's three runs is updated by itself: only weights decay, and biases have a rate of their own. What can be
 * a scalar is made one first, because every pass over three million numbers counts.
 */
export function optimise(
  kind: OptimizerKind,
  state: Pick<TrainState, "parameters" | "first" | "second">,
  gradient: tf.Tensor1D,
  layout: Layout,
  weightDecay: number,
  rates: RateTensors,
): Pick<TrainState, "parameters" | "first" | "second"> {
  const squares = tf.square(gradient);
  const clip = tf.minimum(1, tf.div(maxNorm, tf.add(tf.sqrt(tf.sum(squares)), 1e-6)));
  const runs = [layout.decayEnd, layout.biasStart - layout.decayEnd, layout.length - layout.biasStart];
  const perRun = (vector: tf.Tensor1D) => tf.split(vector, runs);
  const whole = (parts: readonly tf.Tensor[]) => tf.concat1d(parts as tf.Tensor1D[]);
  const runRates = [rates.learningRate, rates.learningRate, rates.biasRate];
  const parameters = perRun(state.parameters);
  if (kind === "SGD") {
    const clipped = tf.mul(gradient, clip) as tf.Tensor1D;
    const [weights, ...others] = perRun(clipped);
    const decayed = whole([tf.add(weights!, tf.mul(parameters[0]!, weightDecay)), ...others]);
    const first = tf.add(tf.mul(state.first, rates.momentum), decayed) as tf.Tensor1D;
    const ahead = perRun(tf.add(decayed, tf.mul(first, rates.momentum)));
    return { parameters: whole(parameters.map((part, i) => tf.sub(part, tf.mul(ahead[i]!, runRates[i]!)))), first, second: state.second };
  }
  const first = tf.add(tf.mul(state.first, rates.momentum), tf.mul(gradient, tf.mul(clip, tf.sub(1, rates.momentum)))) as tf.Tensor1D;
  const second = tf.add(tf.mul(state.second, beta2), tf.mul(squares, tf.mul(tf.square(clip), 1 - beta2))) as tf.Tensor1D;
  // m̂ ÷ (√v̂ + ε), with the bias corrections of both taken out of the vectors.
  const correction1 = tf.sub(1, tf.pow(rates.momentum, rates.update));
  const correction2 = tf.sqrt(tf.sub(1, tf.pow(beta2, rates.update)));
  const change = perRun(tf.div(first, tf.add(tf.mul(tf.sqrt(second), tf.div(correction1, correction2)), tf.mul(correction1, adamEpsilon))));
  const decayed = [tf.mul(parameters[0]!, tf.sub(1, tf.mul(rates.learningRate, weightDecay))), parameters[1]!, parameters[2]!];
  return { parameters: whole(decayed.map((part, i) => tf.sub(part, tf.mul(change[i]!, runRates[i]!)))), first, second };
}

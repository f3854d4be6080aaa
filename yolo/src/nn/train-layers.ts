import * as tf from "@tensorflow/tfjs-node";
import { batchNorm, batchNormGradient, conv2d, conv2dGradients, maxPool5, maxPool5Gradient, sigmoidGradient } from "./kernels.ts";
import type { Layers } from "./model.ts";
import { type Layout, normEpsilon } from "./parameters.ts";
import { Tape } from "./tape.ts";

/** The network in its training form: batch norm over the batch, every operation on the tape. */
export interface TrainingPass {
  readonly layers: Layers<tf.Tensor>;
  readonly tape: Tape;
  /** The gradient of each parameter as a flat vector in the layout's order; call after `tape.backward()`. */
  gradient(): tf.Tensor1D;
  /** This batch's means and unbiased variances, flat in the order of the layout's statistics. */
  batchStats(): tf.Tensor1D;
}

/** @param parameters the flat float32 vector of the layout; it is not disposed. */
export function trainingPass(layout: Layout, parameters: tf.Tensor1D, image: tf.Tensor): TrainingPass {
  const tape = new Tape();
  const slots = [...layout.slots.values()];
  const parts = tf.split(
    parameters,
    slots.map((slot) => slot.length),
  );
  const weights = new Map(slots.map((slot, i) => [slot.name, tf.reshape(parts[i]!, [...slot.shape])]));
  const gradients = new Map<string, tf.Tensor>();
  const stats = new Map<string, tf.Tensor>();
  const weight = (name: string) => weights.get(name)!;

  /** Convolution on the tape. The picture itself needs no gradient. */
  function convolve(name: string, x: tf.Tensor, stride: number): tf.Tensor {
    const w = weight(name);
    const y = conv2d(x, w, stride);
    tape.record([y], (dy) => {
      const { dWeights, dx } = conv2dGradients(x, w, dy, stride, { filterOnly: x === image });
      gradients.set(name, dWeights);
      if (dx) tape.give(x, dx);
    });
    return y;
  }

  const layers: Layers<tf.Tensor> = {
    conv(name, x, { stride }) {
      const c = convolve(`${name}.conv.weight`, x, stride);
      const gamma = weight(`${name}.bn.weight`);
      const norm = batchNorm(c, gamma, weight(`${name}.bn.bias`), tf.tensor1d([], "float32"), normEpsilon);
      stats.set(`${name}.bn.running_mean`, norm.mean);
      stats.set(`${name}.bn.running_var`, norm.variance);
      tape.record(
        [norm.y],
        (dy) => {
          const [dx, dGamma, dBeta] = batchNormGradient(dy, c, gamma, norm, normEpsilon);
          gradients.set(`${name}.bn.weight`, dGamma);
          gradients.set(`${name}.bn.bias`, dBeta);
          tape.give(c, dx);
        },
        norm.reserved,
      );
      // SiLU (arXiv 1702.03118): b·σ(b); its derivative is σ + b·σ·(1 − σ).
      const b = norm.y;
      const s = tf.sigmoid(b);
      const y = tf.mul(b, s);
      tape.record(
        [y],
        (dy) =>
          tape.give(
            b,
            tf.tidy(() => tf.mul(tf.add(sigmoidGradient(s, b), s), dy)),
          ),
        [s],
      );
      return y;
    },
    project(name, x) {
      const c = convolve(`${name}.weight`, x, 1);
      const y = tf.add(c, weight(`${name}.bias`));
      tape.record([y], (dy) => {
        gradients.set(`${name}.bias`, tf.sum(dy, [0, 1, 2]));
        tape.give(c, tf.clone(dy));
      });
      return y;
    },
    halve(x) {
      const [a, b] = tf.split(x, 2, 3);
      tape.record([a!, b!], (da, db) => tape.give(x, tf.concat([da, db], 3)));
      return [a!, b!];
    },
    concat(_, xs) {
      const y = tf.concat([...xs], 3);
      const widths = xs.map((x) => x.shape[3]!);
      tape.record([y], (dy) => tf.split(dy, widths, 3).forEach((part, i) => tape.give(xs[i]!, part)));
      return y;
    },
    add(_, a, b) {
      const y = tf.add(a, b);
      tape.record([y], (dy) => {
        tape.give(a, tf.clone(dy));
        tape.give(b, tf.clone(dy));
      });
      return y;
    },
    upsample(x) {
      const [, height, width] = x.shape as [number, number, number, number];
      const y = tf.image.resizeNearestNeighbor(x as tf.Tensor4D, [height * 2, width * 2]);
      tape.record([y], (dy) =>
        tape.give(
          x,
          tf.tidy(() => tf.mul(tf.avgPool(dy as tf.Tensor4D, 2, 2, "valid"), 4)),
        ),
      );
      return y;
    },
    maxPool(x) {
      const y = maxPool5(x);
      tape.record([y], (dy) => tape.give(x, maxPool5Gradient(x, y, dy)));
      return y;
    },
  };

  return {
    layers,
    tape,
    gradient: () => tf.concat1d(slots.map((slot) => tf.reshape(gradients.get(slot.name)!, [slot.length]))),
    batchStats: () => tf.concat1d([...layout.stats.values()].map((slot) => stats.get(slot.name) as tf.Tensor1D)),
  };
}

import * as tf from "@tensorflow/tfjs-node";
import {
  avgPool2,
  batchNorm,
  batchNormGradient,
  conv2d,
  conv2dGradients,
  maxPool5,
  maxPool5Gradient,
  sigmoidGradient,
  toBfloat16,
  toFloat32,
} from "./kernels.ts";
import type { Layers } from "./model.ts";
import { type Layout, normEpsilon } from "./parameters.ts";
import { Tape } from "./tape.ts";

/**
 * What a training step computes in. "bf16": activations, their gradients and convolutions in bfloat16; parameters, batch
 * statistics, the head's last layers and the loss in float32. Only a recorded step can.
 */
export type Precision = "fp32" | "bf16";

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
export function trainingPass(layout: Layout, parameters: tf.Tensor1D, image: tf.Tensor, precision: Precision): TrainingPass {
  const half = precision === "bf16";
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
  function convolve(name: string, x: tf.Tensor, stride: number, inHalf: boolean): tf.Tensor {
    const w = inHalf ? toBfloat16(weight(name)) : weight(name);
    const of = inHalf && x === image ? toBfloat16(x) : x;
    const y = conv2d(of, w, stride);
    tape.record([y], (dy) => {
      const { dWeights, dx } = conv2dGradients(of, w, dy, stride, { filterOnly: x === image });
      gradients.set(name, inHalf ? toFloat32(dWeights) : dWeights);
      if (dx) tape.give(x, dx);
    });
    return y;
  }

  /** SiLU (arXiv 1702.03118): b·σ(b); its derivative is σ + b·σ·(1 − σ). */
  function silu(b: tf.Tensor): tf.Tensor {
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
  }

  /**
   * The same in bfloat16. TensorFlow runs b·σ(b) as one kernel, but σ alone in bfloat16 takes four times as long as in
   * float32: so the derivative is computed at once, in float32, and kept in place of b and σ.
   */
  function siluInHalf(b: tf.Tensor): tf.Tensor {
    const y = tf.mul(b, tf.sigmoid(b));
    const derivative = tf.tidy(() => {
      const whole = toFloat32(b);
      const s = tf.sigmoid(whole);
      return toBfloat16(tf.add(sigmoidGradient(s, whole), s));
    });
    tape.record([y], (dy) => tape.give(b, tf.mul(derivative, dy)), [derivative]);
    return y;
  }

  /** A bfloat16 tensor as float32, on the tape. */
  function widen(x: tf.Tensor): tf.Tensor {
    const y = toFloat32(x);
    tape.record([y], (dy) => tape.give(x, toBfloat16(dy)));
    return y;
  }

  const layers: Layers<tf.Tensor> = {
    conv(name, x, { stride }) {
      const c = convolve(`${name}.conv.weight`, x, stride, half);
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
      return half ? siluInHalf(norm.y) : silu(norm.y);
    },
    project(name, x) {
      const c = convolve(`${name}.weight`, half ? widen(x) : x, 1, false);
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
          tf.tidy(() => tf.mul(avgPool2(dy), 4)),
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

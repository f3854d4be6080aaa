/**
 * TensorFlow kernels called through tfjs-node's backend, for what tfjs has no operation for: convolutions with explicit
 * padding and their two gradients, batch norm's training form, and max-pool's gradient. All tensors are NHWC float32; each
 * function returns new tensors that the caller disposes.
 */
import * as tf from "@tensorflow/tfjs-node";
import { DataType } from "../trace/graph.ts";

/** An attribute of an operation, as tfjs-node hands it to the native binding. */
export interface OpAttr {
  readonly name: string;
  readonly type: number;
  readonly value: unknown;
}

/** The part of tfjs-node's backend and binding that is used here and by the recorder; tfjs does not export its type. */
export interface NodeBackend {
  binding: Record<string, unknown> & {
    readonly TF_ATTR_TYPE: number;
    readonly TF_ATTR_STRING: number;
    readonly TF_ATTR_INT: number;
    readonly TF_ATTR_FLOAT: number;
    readonly TF_ATTR_BOOL: number;
    readonly TF_ATTR_SHAPE: number;
    readonly TF_FLOAT: number;
  };
  /** What stands behind each tensor: values that wait in JavaScript, or the id of a native tensor. */
  readonly tensorMap: {
    get(dataId: object): { id: number; readonly shape: readonly number[]; readonly dtype: number; values: ArrayLike<number> | null };
  };
  createOutputTensor(native: { readonly id: number; readonly dtype: number; readonly shape: readonly number[] }): tf.Tensor;
  executeSingleOutput(name: string, attrs: readonly OpAttr[], inputs: readonly tf.Tensor[]): tf.Tensor;
  executeMultipleOutputs(name: string, attrs: readonly OpAttr[], inputs: readonly tf.Tensor[], outputs: number): tf.Tensor[];
}

/** tfjs-node's backend. */
export const backend = tf.backend() as unknown as NodeBackend;

const { binding } = backend;
const text = (name: string, value: string): OpAttr => ({ name, type: binding.TF_ATTR_STRING, value });
const ints = (name: string, value: readonly number[]): OpAttr => ({ name, type: binding.TF_ATTR_INT, value });
const float = (name: string, value: number): OpAttr => ({ name, type: binding.TF_ATTR_FLOAT, value });
const bool = (name: string, value: boolean): OpAttr => ({ name, type: binding.TF_ATTR_BOOL, value });
const floatType = (name: string): OpAttr => ({ name, type: binding.TF_ATTR_TYPE, value: binding.TF_FLOAT });

/**
 * Padding (kernel − 1) / 2 on every side. TensorFlow's own "same" pads only right and below at stride 2, which shifts the
 * picture by half a cell against every other framework.
 */
function convAttrs(kernel: number, stride: number): OpAttr[] {
  const p = (kernel - 1) / 2;
  const common = [floatType("T"), ints("strides", [1, stride, stride, 1]), text("data_format", "NHWC"), ints("dilations", [1, 1, 1, 1])];
  if (stride === 1) return [...common, text("padding", "SAME")];
  return [...common, text("padding", "EXPLICIT"), ints("explicit_paddings", [0, 0, p, p, p, p, 0, 0])];
}

/** `x` [batch, height, width, in] by `weights` [kernel, kernel, in, out]. */
export function conv2d(x: tf.Tensor, weights: tf.Tensor, stride: number): tf.Tensor {
  return backend.executeSingleOutput("Conv2D", convAttrs(weights.shape[0], stride), [x, weights]);
}

const shapeTensor = (shape: readonly number[]) => tf.tensor1d([...shape], "int32");

/**
 * The gradients of `conv2d` by its picture `x` (unless `filterOnly`) and its weights. oneDNN has no backward form for
 * explicit padding, and TensorFlow's own is four times slower; so the picture is padded for it. Of a side that is even,
 * a stride of 2 reads only the padding before it.
 */
export function conv2dGradients(
  x: tf.Tensor,
  weights: tf.Tensor,
  dy: tf.Tensor,
  stride: number,
  { filterOnly }: { filterOnly: boolean },
): { dWeights: tf.Tensor; dx?: tf.Tensor } {
  return tf.tidy(() => {
    const kernel = weights.shape[0];
    const padded =
      stride === 1
        ? x
        : tf.pad(x, [
            [0, 0],
            [(kernel - 1) / 2, 0],
            [(kernel - 1) / 2, 0],
            [0, 0],
          ]);
    const attrs = gradientAttrs(stride);
    const dWeights = backend.executeSingleOutput("Conv2DBackpropFilter", attrs, [padded, shapeTensor(weights.shape), dy]);
    if (filterOnly) return { dWeights };
    const dPadded = backend.executeSingleOutput("Conv2DBackpropInput", attrs, [shapeTensor(padded.shape), weights, dy]);
    const before = padded.shape[1]! - x.shape[1]!;
    return { dWeights, dx: before === 0 ? dPadded : tf.slice(dPadded, [0, before, before, 0], x.shape) };
  });
}

function gradientAttrs(stride: number): OpAttr[] {
  const common = [floatType("T"), ints("strides", [1, stride, stride, 1]), text("data_format", "NHWC"), ints("dilations", [1, 1, 1, 1])];
  return [...common, text("padding", stride === 1 ? "SAME" : "VALID")];
}

const normAttrs = (epsilon: number) => [floatType("T"), floatType("U"), float("epsilon", epsilon), text("data_format", "NHWC"), bool("is_training", true)];

/** Batch norm over batch, height and width, with what its gradient needs; `variance` is the unbiased one. */
export interface NormOutput {
  readonly y: tf.Tensor;
  readonly mean: tf.Tensor;
  readonly variance: tf.Tensor;
  readonly reserved: readonly [tf.Tensor, tf.Tensor, tf.Tensor];
}

/** Batch norm (arXiv 1502.03167, algorithm 1) in its training form; `empty` is a float32 vector of length 0. */
export function batchNorm(x: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor, empty: tf.Tensor, epsilon: number): NormOutput {
  const attrs = [...normAttrs(epsilon), float("exponential_avg_factor", 1)];
  const [y, mean, variance, r1, r2, r3] = backend.executeMultipleOutputs("FusedBatchNormV3", attrs, [x, gamma, beta, empty, empty], 6);
  return { y: y!, mean: mean!, variance: variance!, reserved: [r1!, r2!, r3!] };
}

const cast = (x: tf.Tensor, from: number, to: number) => {
  const type = (name: string, value: number): OpAttr => ({ name, type: binding.TF_ATTR_TYPE, value });
  return backend.executeSingleOutput("Cast", [type("SrcT", from), type("DstT", to), bool("Truncate", false)], [x]);
};

/** Rounds float32 to bfloat16. tfjs takes the result for float32: only a recording, which knows better, may use it. */
export const toBfloat16 = (x: tf.Tensor): tf.Tensor => cast(x, binding.TF_FLOAT, DataType.bfloat16);

/** The same numbers as float32. */
export const toFloat32 = (x: tf.Tensor): tf.Tensor => cast(x, DataType.bfloat16, binding.TF_FLOAT);

/** Gradients of `batchNorm` by picture, scale and shift. */
export function batchNormGradient(dy: tf.Tensor, x: tf.Tensor, gamma: tf.Tensor, { reserved }: NormOutput, epsilon: number): [tf.Tensor, tf.Tensor, tf.Tensor] {
  const [dx, dGamma, dBeta, ...unused] = backend.executeMultipleOutputs("FusedBatchNormGradV3", normAttrs(epsilon), [dy, x, gamma, ...reserved], 5);
  tf.dispose(unused);
  return [dx!, dGamma!, dBeta!];
}

export function sigmoidGradient(y: tf.Tensor, dy: tf.Tensor): tf.Tensor {
  return backend.executeSingleOutput("SigmoidGrad", [floatType("T")], [y, dy]);
}

const poolAttrs = (side: number, stride: number) => [
  floatType("T"),
  text("padding", "SAME"),
  ints("ksize", [1, side, side, 1]),
  ints("strides", [1, stride, stride, 1]),
  text("data_format", "NHWC"),
];

/** 5×5 max-pool of stride 1; cells outside the picture never win. */
export function maxPool5(x: tf.Tensor): tf.Tensor {
  return backend.executeSingleOutput("MaxPool", poolAttrs(5, 1), [x]);
}

export function maxPool5Gradient(x: tf.Tensor, y: tf.Tensor, dy: tf.Tensor): tf.Tensor {
  return backend.executeSingleOutput("MaxPoolGrad", poolAttrs(5, 1), [x, y, dy]);
}

/** The mean of each 2×2 cells. */
export function avgPool2(x: tf.Tensor): tf.Tensor {
  return backend.executeSingleOutput("AvgPool", poolAttrs(2, 2), [x]);
}

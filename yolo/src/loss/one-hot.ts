import * as tf from "@tensorflow/tfjs-node";

/** `index` (int32, any shape) with a last axis of `depth` more, float32: 1 at the index, all 0 for −1. tfjs's own refuses a depth of 1. */
export function oneHot(index: tf.Tensor, depth: number): tf.Tensor {
  return tf.cast(tf.equal(tf.expandDims(index, -1), tf.range(0, depth, 1, "int32")), "float32");
}

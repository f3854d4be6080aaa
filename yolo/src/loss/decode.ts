import * as tf from "@tensorflow/tfjs-node";
import { bins, type Level } from "../nn/model.ts";
import { anchorPoints } from "./anchors.ts";

/** The anchors of a picture size as tensors: `centres` [anchors, 2] and `stride` [anchors, 1], float32, pixels. */
export interface AnchorTensors {
  readonly centres: tf.Tensor2D;
  readonly stride: tf.Tensor2D;
  readonly count: number;
}

export function anchorTensors(height: number, width: number): AnchorTensors {
  const { centres, stride, count } = anchorPoints(height, width);
  return { centres: tf.tensor2d(centres, [count, 2]), stride: tf.tensor2d(stride, [count, 1]), count };
}

/** The three levels side by side: `box` [batch, anchors, 4 × bins] and `cls` [batch, anchors, classes], raw logits. */
export function flattenLevels(levels: readonly Level<tf.Tensor>[]): { box: tf.Tensor3D; cls: tf.Tensor3D } {
  const flat = (x: tf.Tensor) => tf.reshape(x, [x.shape[0], x.shape[1]! * x.shape[2]!, x.shape[3]!]) as tf.Tensor3D;
  return {
    box: tf.concat(
      levels.map((level) => flat(level.box)),
      1,
    ),
    cls: tf.concat(
      levels.map((level) => flat(level.cls)),
      1,
    ),
  };
}

/** The gradients of the levels from those of `flattenLevels`' results, in the levels' own shapes. */
export function unflattenGradient(levels: readonly tf.Tensor[], gradient: tf.Tensor3D): tf.Tensor[] {
  const cells = levels.map((level) => level.shape[1]! * level.shape[2]!);
  return tf.split(gradient, cells, 1).map((part, i) => tf.reshape(part, levels[i]!.shape));
}

/** Boxes [batch, anchors, 4] as xyxy in pixels: each side is its distribution's mean (arXiv 2006.04388, eq. 4). */
export function decodeBoxes(box: tf.Tensor3D, anchors: AnchorTensors): tf.Tensor3D {
  return tf.tidy(() => {
    const [batch, count] = box.shape;
    const distribution = tf.softmax(tf.reshape(box, [batch, count, 4, bins]));
    const sides = tf.mul(tf.sum(tf.mul(distribution, tf.range(0, bins)), 3), anchors.stride);
    const [leftTop, rightBottom] = tf.split(sides, 2, 2);
    return tf.concat([tf.sub(anchors.centres, leftTop!), tf.add(anchors.centres, rightBottom!)], 2);
  });
}

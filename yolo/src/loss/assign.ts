import * as tf from "@tensorflow/tfjs-node";
import { completeIou } from "./ciou.ts";
import { oneHot } from "./one-hot.ts";

/** The objects of a batch, padded to one number for all pictures. */
export interface Truth {
  /** [batch, objects, 4] float32, xyxy in letterboxed pixels. */
  readonly boxes: tf.Tensor3D;
  /** [batch, objects, classes] float32, one-hot; all zero for padding. */
  readonly classes: tf.Tensor3D;
  /** [batch, objects, 1] float32: 1 for an object, 0 for padding. */
  readonly present: tf.Tensor3D;
  /** [batch, classes] float32: 1 for a class that was asked on a picture, else 0; undefined where all were. The assignment needs none. */
  readonly asked?: tf.Tensor2D | undefined;
}

/** What each anchor should predict. */
export interface Targets {
  /** [batch, anchors, 4] float32, xyxy in pixels; zero where there is nothing. */
  readonly boxes: tf.Tensor3D;
  /** [batch, anchors, classes] float32 in 0 … 1. */
  readonly scores: tf.Tensor3D;
}

const top = 10;

/**
 * Task-aligned assignment (TOOD, arXiv 2108.07755, 3.2): an anchor inside an object fits it by score^0.5 × CIoU^6; each
 * object takes its ten best; an anchor that several want goes to the one it overlaps most. Its target score is its fit,
 * scaled so that an object's best anchor gets the object's best overlap.
 *
 * @param scores [batch, anchors, classes] float32, probabilities
 * @param boxes [batch, anchors, 4] float32, xyxy in pixels
 * @param centres [anchors, 2] float32, pixels
 * @returns tensors that the caller disposes
 */
export function assign(scores: tf.Tensor3D, boxes: tf.Tensor3D, centres: tf.Tensor2D, truth: Truth): Targets {
  return tf.tidy(() => {
    const [leftTop, rightBottom] = tf.split(tf.expandDims(truth.boxes, 2), 2, 3); // [batch, objects, 1, 2]
    const sides = tf.concat([tf.sub(centres, leftTop!), tf.sub(rightBottom!, centres)], 3); // [batch, objects, anchors, 4]
    const inside = tf.mul(tf.cast(tf.greater(tf.min(sides, 3), 1e-9), "float32"), truth.present); // [batch, objects, anchors]
    const classScore = tf.matMul(truth.classes, scores, false, true); // [batch, objects, anchors]
    const { ciou } = completeIou(tf.expandDims(truth.boxes, 2), tf.expandDims(boxes, 1));
    const overlap = tf.mul(tf.relu(ciou), inside);
    const fit = tf.mul(tf.mul(tf.sqrt(classScore), tf.square(tf.mul(tf.square(overlap), overlap))), inside);

    const { values } = tf.topk(fit, Math.min(top, fit.shape[2]!));
    const tenth = tf.min(values, 2, true);
    const wanted = tf.mul(tf.cast(tf.greaterEqual(fit, tenth), "float32"), tf.cast(tf.greater(fit, 0), "float32"));

    // Of the objects that want an anchor, the one with the highest overlap; the first of equals.
    const wantedOverlap = tf.mul(overlap, wanted);
    const best = oneHot(tf.argMax(wantedOverlap, 1), truth.boxes.shape[1]); // [batch, anchors, objects]
    const owner = tf.mul(tf.transpose(best, [0, 2, 1]), wanted); // [batch, objects, anchors]

    const ownFit = tf.mul(fit, owner);
    const bestFit = tf.max(ownFit, 2, true);
    const bestOverlap = tf.max(tf.mul(overlap, owner), 2, true);
    const strength = tf.div(tf.mul(ownFit, bestOverlap), tf.add(bestFit, 1e-9)); // [batch, objects, anchors]
    return {
      boxes: tf.matMul<tf.Tensor3D>(owner, truth.boxes, true, false),
      scores: tf.matMul<tf.Tensor3D>(tf.mul(owner, strength), truth.classes, true, false),
    };
  });
}

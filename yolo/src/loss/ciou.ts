import * as tf from "@tensorflow/tfjs-node";

const epsilon = 1e-7;

/**
 * Complete IoU of boxes `a` and `b`, xyxy in the last axis, which must broadcast (arXiv 1911.08287, eq. 9–11):
 * IoU − ρ²/c² − αv. As the authors do, α counts as a constant when differentiating: pass `alpha` from a first call without.
 */
export function completeIou(a: tf.Tensor, b: tf.Tensor, alpha?: tf.Tensor): { ciou: tf.Tensor; iou: tf.Tensor; alpha: tf.Tensor } {
  const [ax1, ay1, ax2, ay2] = tf.split(a, 4, -1) as [tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor];
  const [bx1, by1, bx2, by2] = tf.split(b, 4, -1) as [tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor];
  const [aw, ah, bw, bh] = [tf.sub(ax2, ax1), tf.add(tf.sub(ay2, ay1), epsilon), tf.sub(bx2, bx1), tf.add(tf.sub(by2, by1), epsilon)];
  const span = (high: tf.Tensor, low: tf.Tensor) => tf.relu(tf.sub(high, low));
  const overlap = tf.mul(span(tf.minimum(ax2, bx2), tf.maximum(ax1, bx1)), span(tf.minimum(ay2, by2), tf.maximum(ay1, by1)));
  const union = tf.add(tf.sub(tf.add(tf.mul(aw, ah), tf.mul(bw, bh)), overlap), epsilon);
  const iou = tf.div(overlap, union);
  const hullWidth = tf.sub(tf.maximum(ax2, bx2), tf.minimum(ax1, bx1));
  const hullHeight = tf.sub(tf.maximum(ay2, by2), tf.minimum(ay1, by1));
  const diagonal = tf.add(tf.add(tf.square(hullWidth), tf.square(hullHeight)), epsilon);
  const dx = tf.sub(tf.add(bx1, bx2), tf.add(ax1, ax2));
  const dy = tf.sub(tf.add(by1, by2), tf.add(ay1, ay2));
  const distance = tf.div(tf.add(tf.square(dx), tf.square(dy)), 4);
  const v = tf.mul(4 / Math.PI ** 2, tf.square(tf.sub(tf.atan(tf.div(bw, bh)), tf.atan(tf.div(aw, ah)))));
  const weight = alpha ?? tf.div(v, tf.add(tf.sub(v, iou), 1 + epsilon));
  const ciou = tf.sub(iou, tf.add(tf.div(distance, diagonal), tf.mul(v, weight)));
  return { ciou: tf.squeeze(ciou, [-1]), iou: tf.squeeze(iou, [-1]), alpha: weight };
}

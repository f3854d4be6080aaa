import * as tf from "@tensorflow/tfjs-node";
import { bins } from "../nn/model.ts";
import { assign, type Targets, type Truth } from "./assign.ts";
import { completeIou } from "./ciou.ts";
import { type AnchorTensors, decodeBoxes } from "./decode.ts";

/** Weights of the three parts of the loss. */
export const lossWeights = { box: 7.5, cls: 0.5, dfl: 1.5 } as const;

/** The parts of the loss, unweighted means a picture [3] (box, cls, dfl), and the gradients of the weighted sum. */
export interface LossOutput {
  readonly parts: tf.Tensor1D;
  readonly boxGradient: tf.Tensor3D;
  readonly clsGradient: tf.Tensor3D;
}

/** Binary cross-entropy of logits, as max(x, 0) − x·t + log(1 + e^−|x|), which never overflows. */
function crossEntropy(logits: tf.Tensor, target: tf.Tensor): tf.Tensor {
  return tf.add(tf.sub(tf.relu(logits), tf.mul(logits, target)), tf.log1p(tf.exp(tf.neg(tf.abs(logits)))));
}

/**
 * Distribution focal loss (arXiv 2006.04388, eq. 6), the mean over the four sides: [batch, anchors]. The cross-entropies
 * against the two bins beside the target, by their nearness, are one cross-entropy against a triangle over the bins.
 */
function distributionLoss(box: tf.Tensor3D, targetBoxes: tf.Tensor3D, anchors: AnchorTensors): tf.Tensor {
  const [batch, count] = box.shape;
  const logits = tf.reshape(box, [batch, count, 4, bins]);
  const logProbability = tf.sub(logits, tf.logSumExp(logits, 3, true));
  const [leftTop, rightBottom] = tf.split(targetBoxes, 2, 2);
  const sides = tf.div(tf.concat([tf.sub(anchors.centres, leftTop!), tf.sub(rightBottom!, anchors.centres)], 2), anchors.stride);
  const clipped = tf.expandDims(tf.clipByValue(sides, 0, bins - 1 - 0.01), 3);
  const triangle = tf.relu(tf.sub(1, tf.abs(tf.sub(tf.range(0, bins), clipped))));
  return tf.mean(tf.neg(tf.sum(tf.mul(triangle, logProbability), 3)), 2);
}

/**
 * 1 where a cell teaches about a class, 0 where nobody knows [batch, anchors, classes]: a class that was not asked on a picture
 * counts in the cells of its objects, which are there all the same, and in no other.
 */
function knownCells(asked: tf.Tensor2D, scores: tf.Tensor3D): tf.Tensor {
  return tf.maximum(tf.expandDims(asked, 1), tf.cast(tf.greater(scores, 0), "float32"));
}

/** The three parts for fixed targets, each divided by the sum of the target scores; `known` is of `knownCells`. */
function lossParts(box: tf.Tensor3D, cls: tf.Tensor3D, targets: Targets, anchors: AnchorTensors, alpha: tf.Tensor, known?: tf.Tensor): tf.Tensor[] {
  const weight = tf.sum(targets.scores, 2); // [batch, anchors]
  const total = tf.maximum(tf.sum(weight), 1);
  const { ciou } = completeIou(decodeBoxes(box, anchors), targets.boxes, alpha);
  const taught = (entropy: tf.Tensor) => (known ? tf.mul(entropy, known) : entropy);
  return [
    tf.div(tf.sum(tf.mul(tf.sub(1, ciou), weight)), total),
    tf.div(tf.sum(taught(crossEntropy(cls, targets.scores))), total),
    tf.div(tf.sum(tf.mul(distributionLoss(box, targets.boxes, anchors), weight)), total),
  ];
}

/**
 * YOLOv8's loss and its gradients by the raw predictions: assignment first, as constants, then 7.5 CIoU + 0.5 BCE +
 * 1.5 DFL, times the batch size. What nobody was asked about adds nothing to the BCE. Call within a tidy.
 *
 * @param box [batch, anchors, 4 × bins] float32 logits
 * @param cls [batch, anchors, classes] float32 logits
 */
export function detectionLoss(box: tf.Tensor3D, cls: tf.Tensor3D, truth: Truth, anchors: AnchorTensors): LossOutput {
  const predicted = decodeBoxes(box, anchors);
  const targets = assign(tf.sigmoid(cls), predicted, anchors.centres, truth);
  const { alpha } = completeIou(predicted, targets.boxes);
  const known = truth.asked && knownCells(truth.asked, targets.scores);
  let parts: tf.Tensor1D | undefined;
  const { grads } = tf.valueAndGrads((b: tf.Tensor, c: tf.Tensor) => {
    const [boxLoss, clsLoss, dflLoss] = lossParts(b as tf.Tensor3D, c as tf.Tensor3D, targets, anchors, alpha, known) as [tf.Tensor, tf.Tensor, tf.Tensor];
    parts = tf.keep(tf.stack([boxLoss, clsLoss, dflLoss]) as tf.Tensor1D);
    const sum = tf.add(tf.add(tf.mul(boxLoss, lossWeights.box), tf.mul(clsLoss, lossWeights.cls)), tf.mul(dflLoss, lossWeights.dfl));
    return tf.reshape(tf.mul(sum, box.shape[0]), []);
  })([box, cls]);
  return { parts: parts!, boxGradient: grads[0] as tf.Tensor3D, clsGradient: grads[1] as tf.Tensor3D };
}

import { bins, strides } from "../nn/model.ts";
import type { BoxXyxy, Detection } from "./boxes.ts";

/** One level's raw predictions of one picture, channels first. */
export interface RawLevel {
  /** [4 × bins, height, width] float32 logits: left, top, right, bottom. */
  readonly box: Float32Array;
  /** [classes, height, width] float32 logits. */
  readonly cls: Float32Array;
  readonly height: number;
  readonly width: number;
}

/**
 * The detections above a score in the three levels of a picture, before suppression. Only boxes that count are decoded, which
 * of the thousands of cells are few.
 */
export function decodeLevels(levels: readonly RawLevel[], classes: number, minScore: number): Detection[] {
  const threshold = Math.log(minScore / (1 - minScore));
  const found: Detection[] = [];
  levels.forEach((level, index) => {
    const { cls } = level;
    const cells = level.height * level.width;
    const stride = strides[index]!;
    // A cell may count for several classes.
    const boxes = new Map<number, BoxXyxy>();
    for (let at = 0; at < classes * cells; at++) {
      const logit = cls[at]!;
      if (!(logit > threshold)) continue;
      const cell = at % cells;
      const box = boxes.get(cell) ?? cellBox(level, cell, stride);
      boxes.set(cell, box);
      found.push({ box, score: 1 / (1 + Math.exp(-logit)), cls: Math.floor(at / cells) });
    }
  });
  return found;
}

/** The box that a cell predicts, in the pixels of the network's input. */
export function cellBox({ box, height, width }: RawLevel, cell: number, stride: number): BoxXyxy {
  const [x, y] = [((cell % width) + 0.5) * stride, (Math.floor(cell / width) + 0.5) * stride];
  const cells = height * width;
  return [
    x - distributionMean(box, 0, cell, cells) * stride,
    y - distributionMean(box, 1, cell, cells) * stride,
    x + distributionMean(box, 2, cell, cells) * stride,
    y + distributionMean(box, 3, cell, cells) * stride,
  ];
}

/** The mean of a side's distribution over the bins (arXiv 2006.04388, eq. 4), in strides. */
function distributionMean(box: Float32Array, side: number, cell: number, cells: number): number {
  const from = side * bins * cells + cell;
  const to = from + bins * cells;
  let highest = -Infinity;
  for (let at = from; at < to; at += cells) if (box[at]! > highest) highest = box[at]!;
  let sum = 0;
  let mean = 0;
  for (let at = from, b = 0; at < to; at += cells, b++) {
    const weight = Math.exp(box[at]! - highest);
    sum += weight;
    mean += weight * b;
  }
  return mean / sum;
}

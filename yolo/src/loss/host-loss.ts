import { type Asked, limitedTo } from "../boxes/asked.ts";
import type { BoxXyxy } from "../boxes/boxes.ts";
import { cellBox, type RawLevel } from "../boxes/raw-levels.ts";
import { bins, strides } from "../nn/model.ts";

/** An object of a picture, in the pixels of the network's input. */
interface HostObject {
  readonly box: BoxXyxy;
  readonly cls: number;
}

/** Sums over pictures; each part of the loss is divided by `weight`, the sum of the target scores, and at least 1. */
export interface LossSums {
  box: number;
  cls: number;
  dfl: number;
  weight: number;
}

/** A cell that an object wants, and how well it fits. */
interface Wish {
  readonly level: number;
  readonly cell: number;
  readonly predicted: BoxXyxy;
  readonly overlap: number;
  readonly fit: number;
}

const top = 10;
const epsilon = 1e-7;

/**
 * Adds one picture's losses to `sums`: the values that `detectionLoss` computes in TensorFlow, in plain loops. Only cells inside
 * an object are decoded, which makes it cheap enough to stand beside ONNX Runtime; the tests hold the two together.
 */
export function addHostLoss(sums: LossSums, levels: readonly RawLevel[], classes: number, objects: readonly HostObject[], asked?: Asked): void {
  const limited = limitedTo(asked, classes);
  for (const { cls, height, width } of levels) {
    const cells = height * width;
    if (!limited) sums.cls += softplusSum(cls);
    else for (const each of limited) sums.cls += softplusSum(cls.subarray(each * cells, (each + 1) * cells));
  }
  const owners = new Map<string, { object: number; wish: Wish }>();
  objects.forEach((object, index) => {
    for (const wish of wishesOf(object, levels)) {
      const key = `${wish.level}/${wish.cell}`;
      const before = owners.get(key);
      if (!before || wish.overlap > before.wish.overlap) owners.set(key, { object: index, wish });
    }
  });
  const best = objects.map(() => ({ fit: 0, overlap: 0 }));
  for (const { object, wish } of owners.values()) {
    best[object]!.fit = Math.max(best[object]!.fit, wish.fit);
    best[object]!.overlap = Math.max(best[object]!.overlap, wish.overlap);
  }
  for (const { object, wish } of owners.values()) {
    const { box, cls } = objects[object]!;
    const level = levels[wish.level]!;
    const score = (wish.fit * best[object]!.overlap) / (best[object]!.fit + 1e-9);
    const at = cls * level.height * level.width + wish.cell;
    sums.weight += score;
    sums.cls -= score * level.cls[at]!;
    // Of a class that was not asked only the cells of its objects count.
    if (limited && !limited.includes(cls)) sums.cls += softplusSum(level.cls.subarray(at, at + 1));
    sums.box += score * (1 - completeIouOf(wish.predicted, box));
    sums.dfl += score * distributionLossOf(level, wish.cell, strides[wish.level]!, box);
  }
}

/** The means over the pictures that were added: box, cls, dfl. */
export function lossMeans({ box, cls, dfl, weight }: LossSums): [number, number, number] {
  const total = Math.max(weight, 1);
  return [box / total, cls / total, dfl / total];
}

/**
 * The cells that an object takes: its ten best by score^0.5 × CIoU^6 (arXiv 2108.07755, 3.2), and ties with the tenth. No
 * overlap is more than 1, so that a cell whose score alone is too low need not be decoded; after some training few are left.
 */
function wishesOf(object: HostObject, levels: readonly RawLevel[]): Wish[] {
  const wishes: Wish[] = [];
  let least = 0;
  for (const { level, cell, logit } of cellsWithin(object, levels)) {
    const root = Math.sqrt(1 / (1 + Math.exp(-logit)));
    if (root < least) break;
    const predicted = cellBox(levels[level]!, cell, strides[level]!);
    const overlap = Math.max(0, completeIouOf(object.box, predicted));
    const fit = root * overlap ** 6;
    if (!(fit > 0) || fit < least) continue;
    wishes.push({ level, cell, predicted, overlap, fit });
    if (wishes.length < top) continue;
    wishes.sort((a, b) => b.fit - a.fit);
    least = wishes[top - 1]!.fit;
    while (wishes.at(-1)!.fit < least) wishes.pop();
  }
  return wishes;
}

/** The cells whose centre is within an object, those first whose logit for its class is highest. */
function cellsWithin({ box, cls }: HostObject, levels: readonly RawLevel[]): { level: number; cell: number; logit: number }[] {
  const found: { level: number; cell: number; logit: number }[] = [];
  levels.forEach((level, index) => {
    const stride = strides[index]!;
    const cells = level.height * level.width;
    const first = (from: number) => Math.max(0, Math.ceil(from / stride - 0.5));
    for (let y = first(box[1]); y < level.height && (y + 0.5) * stride < box[3]; y++)
      for (let x = first(box[0]); x < level.width && (x + 0.5) * stride < box[2]; x++) {
        const [cx, cy] = [(x + 0.5) * stride, (y + 0.5) * stride];
        if (Math.min(cx - box[0], cy - box[1], box[2] - cx, box[3] - cy) <= 1e-9) continue;
        const cell = y * level.width + x;
        found.push({ level: index, cell, logit: level.cls[cls * cells + cell]! });
      }
  });
  return found.sort((a, b) => b.logit - a.logit);
}

/** Complete IoU (arXiv 1911.08287, eq. 9–11). */
function completeIouOf(a: BoxXyxy, b: BoxXyxy): number {
  const [aw, ah, bw, bh] = [a[2] - a[0], a[3] - a[1] + epsilon, b[2] - b[0], b[3] - b[1] + epsilon];
  const overlap = Math.max(0, Math.min(a[2], b[2]) - Math.max(a[0], b[0])) * Math.max(0, Math.min(a[3], b[3]) - Math.max(a[1], b[1]));
  const iou = overlap / (aw * ah + bw * bh - overlap + epsilon);
  const diagonal = (Math.max(a[2], b[2]) - Math.min(a[0], b[0])) ** 2 + (Math.max(a[3], b[3]) - Math.min(a[1], b[1])) ** 2 + epsilon;
  const distance = ((a[0] + a[2] - b[0] - b[2]) ** 2 + (a[1] + a[3] - b[1] - b[3]) ** 2) / 4;
  const v = (4 / Math.PI ** 2) * (Math.atan(bw / bh) - Math.atan(aw / ah)) ** 2;
  return iou - distance / diagonal - (v * v) / (v - iou + 1 + epsilon);
}

/** Distribution focal loss (arXiv 2006.04388, eq. 6) of a cell, the mean over its four sides. */
function distributionLossOf({ box, width, height }: RawLevel, cell: number, stride: number, target: BoxXyxy): number {
  const cells = height * width;
  const [cx, cy] = [((cell % width) + 0.5) * stride, (Math.floor(cell / width) + 0.5) * stride];
  const sides = [cx - target[0], cy - target[1], target[2] - cx, target[3] - cy];
  let sum = 0;
  for (let which = 0; which < 4; which++) {
    const at = Math.min(Math.max(sides[which]! / stride, 0), bins - 1 - 0.01);
    const first = which * bins * cells + cell;
    let highest = -Infinity;
    for (let bin = 0; bin < bins; bin++) highest = Math.max(highest, box[first + bin * cells]!);
    let total = 0;
    for (let bin = 0; bin < bins; bin++) total += Math.exp(box[first + bin * cells]! - highest);
    const log = highest + Math.log(total);
    const low = Math.floor(at);
    sum += (low + 1 - at) * (log - box[first + low * cells]!) + (at - low) * (log - box[first + (low + 1) * cells]!);
  }
  return sum / 4;
}

/** Factors of at most 2 that a double holds the product of. */
const factorsOfALog = 512;

/** The sum of log(1 + e^x) over all logits, as max(x, 0) + log(1 + e^−|x|); one logarithm for many factors. */
function softplusSum(logits: Float32Array): number {
  let sum = 0;
  for (let from = 0; from < logits.length; from += factorsOfALog) {
    const to = Math.min(from + factorsOfALog, logits.length);
    let product = 1;
    for (let i = from; i < to; i++) {
      const x = logits[i]!;
      if (x > 0) sum += x;
      product *= 1 + Math.exp(x > 0 ? -x : x);
    }
    sum += Math.log(product);
  }
  return sum;
}

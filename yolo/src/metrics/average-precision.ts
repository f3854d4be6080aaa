import type { Asked } from "../boxes/asked.ts";
import { type BoxXyxy, type Detection, iouOf } from "../boxes/boxes.ts";

/** An object that is in a picture. */
export interface LabelledBox {
  readonly box: BoxXyxy;
  readonly cls: number;
}

/** One picture's objects and what a model found in it. */
export interface Evaluated {
  readonly objects: readonly LabelledBox[];
  /** The classes that its annotator was asked to mark: without it all. */
  readonly asked?: Asked;
  readonly detections: readonly Detection[];
}

/** Figures of one class, or their means. */
export interface ClassMetrics {
  readonly cls: number;
  readonly objects: number;
  readonly ap50: number;
  /** Mean over the IoU thresholds 0.50, 0.55, …, 0.95. */
  readonly ap: number;
  /** At the confidence with the best F1, IoU 0.5. */
  readonly precision: number;
  readonly recall: number;
}

/** Figures of a model on a set of pictures: means over the classes that have objects. */
export interface Metrics {
  readonly map50: number;
  readonly map: number;
  readonly precision: number;
  readonly recall: number;
  readonly classes: readonly ClassMetrics[];
}

// Multiplied, not divided, as numpy's linspace does: 29 × 0.01 and 29 / 100 differ in the last bit, and a recall may equal one.
const iouThresholds: readonly number[] = Array.from({ length: 10 }, (_, i) => 0.5 + ((0.95 - 0.5) / 9) * i);
const recallPoints = Array.from({ length: 101 }, (_, i) => i * 0.01);

/** A detection of one class, and whether it hit at each threshold. */
export interface Ranked {
  readonly score: number;
  readonly hits: readonly boolean[];
}

/**
 * Whether a picture says what is right for a class: it was asked there, or the picture has an object of it. Elsewhere a
 * detection is neither right nor wrong, and is left out, as LVIS does it (Gupta et al., arXiv 1908.03195).
 */
export function isMeasured({ asked, objects }: Pick<Evaluated, "asked" | "objects">, cls: number): boolean {
  return !asked || asked.includes(cls) || objects.some((object) => object.cls === cls);
}

/**
 * COCO's detection metrics (Lin et al., arXiv 1405.0312; the evaluation of pycocotools): in score order each detection takes
 * the free object it overlaps most, per class, picture and threshold; precision is made monotone and read at 101 recalls.
 */
export function evaluate(pictures: readonly Evaluated[], classes: number): Metrics {
  const perClass: ClassMetrics[] = [];
  for (let cls = 0; cls < classes; cls++) {
    const { objects, ranked } = rankedOf(pictures, cls);
    if (objects > 0) perClass.push(classMetrics(cls, objects, ranked));
  }
  const mean = (pick: (metrics: ClassMetrics) => number) =>
    perClass.length === 0 ? 0 : perClass.reduce((sum, metrics) => sum + pick(metrics), 0) / perClass.length;
  return { map50: mean((m) => m.ap50), map: mean((m) => m.ap), precision: mean((m) => m.precision), recall: mean((m) => m.recall), classes: perClass };
}

/** The detections of a class in all pictures that it is measured on, surest first, and the number of its objects. */
export function rankedOf(pictures: readonly Evaluated[], cls: number): { objects: number; ranked: Ranked[] } {
  let objects = 0;
  const ranked: Ranked[] = [];
  for (const picture of pictures) {
    if (!isMeasured(picture, cls)) continue;
    const own = picture.objects.filter((object) => object.cls === cls);
    objects += own.length;
    for (const each of match(
      picture.detections.filter((detection) => detection.cls === cls),
      own,
    ))
      ranked.push(each);
  }
  return { objects, ranked: ranked.toSorted((a, b) => b.score - a.score) };
}

function match(detections: readonly Detection[], objects: readonly LabelledBox[]): Ranked[] {
  const sorted = detections.toSorted((a, b) => b.score - a.score);
  const overlaps = sorted.map((detection) => objects.map((object) => iouOf(detection.box, object.box)));
  const hits = iouThresholds.map((threshold) => {
    const taken = new Set<number>();
    return sorted.map((_, d) => {
      let best = Math.min(threshold, 1 - 1e-10);
      let found = -1;
      overlaps[d]!.forEach((overlap, o) => {
        if (taken.has(o) || overlap < best) return;
        best = overlap;
        found = o;
      });
      if (found >= 0) taken.add(found);
      return found >= 0;
    });
  });
  return sorted.map((detection, d) => ({ score: detection.score, hits: hits.map((row) => row[d]!) }));
}

function classMetrics(cls: number, objects: number, ranked: readonly Ranked[]): ClassMetrics {
  const aps = iouThresholds.map((_, t) =>
    averagePrecision(
      ranked.map((detection) => detection.hits[t]!),
      objects,
    ),
  );
  let best = { f1: -1, precision: 0, recall: 0 };
  let hits = 0;
  ranked.forEach((detection, i) => {
    if (detection.hits[0]) hits++;
    const precision = hits / (i + 1);
    const recall = hits / objects;
    const f1 = hits === 0 ? 0 : (2 * precision * recall) / (precision + recall);
    if (f1 > best.f1) best = { f1, precision, recall };
  });
  const { precision, recall } = best;
  return { cls, objects, ap50: aps[0]!, ap: aps.reduce((sum, ap) => sum + ap, 0) / aps.length, precision, recall };
}

/** Area under the precision-recall curve of detections in score order, read at 101 recalls. */
function averagePrecision(hits: readonly boolean[], objects: number): number {
  let found = 0;
  const recall: number[] = [];
  const precision = hits.map((hit, i) => {
    if (hit) found++;
    recall.push(found / objects);
    return found / (i + 1);
  });
  for (let i = precision.length - 2; i >= 0; i--) precision[i] = Math.max(precision[i]!, precision[i + 1]!);
  let sum = 0;
  let at = 0;
  for (const point of recallPoints) {
    while (at < recall.length && recall[at]! < point) at++;
    sum += precision[at] ?? 0;
  }
  return sum / recallPoints.length;
}

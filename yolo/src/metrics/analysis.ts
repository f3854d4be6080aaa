import { type Detection, iouOf } from "../boxes/boxes.ts";
import { type Evaluated, evaluate, isMeasured, type LabelledBox, type Metrics, rankedOf } from "./average-precision.ts";

/** Precision, recall and F1 of one class over the confidence, and precision over recall; all at IoU 0.5. */
export interface ClassCurves {
  readonly cls: number;
  /** At the confidences of `confidences`. */
  readonly precision: readonly number[];
  readonly recall: readonly number[];
  readonly f1: readonly number[];
  /** Precision, made monotone, at the same numbers taken as recalls. */
  readonly precisionAtRecall: readonly number[];
}

/** What the plots of a trained model show. */
export interface Analysis {
  readonly metrics: Metrics;
  readonly curves: readonly ClassCurves[];
  /** [predicted][true] counts; the last row and column are the background. */
  readonly confusion: readonly (readonly number[])[];
}

/** Where curves are read: 0, 0.01 … 1. */
export const confidences: readonly number[] = Array.from({ length: 101 }, (_, i) => i / 100);

/** Detections that a confusion matrix counts, as its users know it. */
const confusionScore = 0.25;
const confusionIou = 0.45;

export function analyse(pictures: readonly Evaluated[], classes: number): Analysis {
  const metrics = evaluate(pictures, classes);
  return {
    metrics,
    curves: metrics.classes.map(({ cls }) => curvesOf(pictures, cls)),
    confusion: confusionMatrix(pictures, classes),
  };
}

function curvesOf(pictures: readonly Evaluated[], cls: number): ClassCurves {
  const { objects, ranked } = rankedOf(pictures, cls);
  let hits = 0;
  const points = ranked.map(({ score, hits: at }, i) => {
    if (at[0]) hits++;
    return { score, precision: hits / (i + 1), recall: hits / objects };
  });
  const monotone = points.map(({ precision }) => precision);
  for (let i = monotone.length - 2; i >= 0; i--) monotone[i] = Math.max(monotone[i]!, monotone[i + 1]!);
  // At a confidence count all detections of at least it; with none of them, nothing said is wrong and nothing is found.
  const at = confidences.map((confidence) => points.findLast(({ score }) => score >= confidence) ?? { precision: 1, recall: 0 });
  return {
    cls,
    precision: at.map(({ precision }) => precision),
    recall: at.map(({ recall }) => recall),
    f1: at.map(({ precision, recall }) => (recall === 0 ? 0 : (2 * precision * recall) / (precision + recall))),
    precisionAtRecall: confidences.map((recall) => monotone[points.findIndex((point) => point.recall >= recall)] ?? 0),
  };
}

/**
 * Pairs of a detection and an object, whatever their classes, that overlap enough, best first, each used once. Detections
 * without an object are background that was taken for something; objects without a detection were taken for background.
 * Detections of a class that the picture says nothing of are left out.
 */
export function confusionMatrix(pictures: readonly Evaluated[], classes: number): number[][] {
  const matrix = Array.from({ length: classes + 1 }, () => Array.from({ length: classes + 1 }, () => 0));
  const count = (predicted: number, actual: number) => (matrix[predicted]![actual]! += 1);
  for (const picture of pictures) {
    const { objects, detections } = picture;
    const sure = detections.filter(({ score, cls }) => score >= confusionScore && isMeasured(picture, cls));
    const pairs = sure.flatMap((detection) => objects.map((object) => ({ detection, object, overlap: iouOf(detection.box, object.box) })));
    const seen = new Set<Detection>();
    const found = new Set<LabelledBox>();
    for (const { detection, object, overlap } of pairs.toSorted((a, b) => b.overlap - a.overlap)) {
      if (overlap <= confusionIou || seen.has(detection) || found.has(object)) continue;
      seen.add(detection);
      found.add(object);
      count(detection.cls, object.cls);
    }
    for (const detection of sure) if (!seen.has(detection)) count(detection.cls, classes);
    for (const object of objects) if (!found.has(object)) count(classes, object.cls);
  }
  return matrix;
}

import type { Detection } from "@airloom/yolo/boxes/boxes.ts";
import { iouOf } from "@airloom/yolo/boxes/boxes.ts";
import type { DetectOptions } from "../engine/detector.ts";
import type { Manifest } from "./manifest.ts";

/** How the canary picture is looked at, when it is chosen and when it is tried. */
export const canaryOptions: DetectOptions = { minScore: 0.25, maxIou: 0.7, maxDetections: 300 };

/** An expected box is found where one of its class overlaps it so much. */
const enoughIou = 0.5;

type Expected = NonNullable<Manifest["canary"]>["detections"];

/** What is written into the manifest of a model that finds this in its canary picture. */
export function expectedOf(detections: readonly Detection[], labels: readonly string[]): Expected {
  const round = (value: number) => Number(value.toFixed(4));
  return detections.map(({ cls, score, box: [x1, y1, x2, y2] }) => ({
    name: labels[cls]!,
    confidence: round(score),
    box: { x1: round(x1), y1: round(y1), x2: round(x2), y2: round(y2) },
  }));
}

/** Throws where what a model finds in its canary picture is not what its manifest says. */
export function checkCanary(expected: Expected, found: readonly Detection[], labels: readonly string[]): void {
  const missing = expected.filter(
    ({ name, box }) => !found.some((each) => labels[each.cls] === name && iouOf(each.box, [box.x1, box.y1, box.x2, box.y2]) >= enoughIou),
  );
  if (missing.length > 0)
    throw new Error(
      `on its canary picture the model found ${found.length} objects where its manifest names ${expected.length}, and ${missing.length} of those are missing (${missing[0]?.name ?? "none"}): it does not compute what it did when it was published`,
    );
}

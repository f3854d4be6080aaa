import { randomUUID } from "node:crypto";
import type { Found } from "../engine/detector.ts";
import type { Manifest } from "../model/manifest.ts";

/** The id of an answer: it begins with its model's SHA-256, so that `airloom trace` knows where the answer came from. */
export const predictionId = ({ sha256 }: Pick<Manifest, "sha256">): string => `${sha256.slice(0, 16)}.${randomUUID()}`;

const round = (value: number, digits: number) => Number(value.toFixed(digits));

/** The shape that people know from Ultralytics' API. */
export function defaultFormat(found: readonly Found[], manifest: Manifest, id: string): object {
  const { name, version, sha256, runId, datasetCommit, labels } = manifest;
  return {
    images: found.map(({ width, height, detections, speedMs }) => ({
      shape: [height, width],
      results: detections.map(({ box: [x1, y1, x2, y2], score, cls }) => ({
        class: cls,
        name: labels[cls]!,
        confidence: round(score, 5),
        box: { x1: round(x1, 2), y1: round(y1, 2), x2: round(x2, 2), y2: round(y2, 2) },
      })),
      speed: { preprocess: round(speedMs.preprocess, 2), inference: round(speedMs.inference, 2), postprocess: round(speedMs.postprocess, 2) },
    })),
    metadata: { id, model: { name, version, sha256, runId, datasetCommit } },
  };
}

/** The shape of Roboflow's hosted API: boxes by their centres. One picture gives an object, several give a list. */
export function roboflowFormat(found: readonly Found[], { labels }: Manifest): object {
  const answers = found.map(({ width, height, detections, speedMs }) => ({
    time: round((speedMs.preprocess + speedMs.inference + speedMs.postprocess) / 1000, 6),
    image: { width, height },
    predictions: detections.map(({ box: [x1, y1, x2, y2], score, cls }) => ({
      x: round((x1 + x2) / 2, 2),
      y: round((y1 + y2) / 2, 2),
      width: round(x2 - x1, 2),
      height: round(y2 - y1, 2),
      confidence: round(score, 5),
      class: labels[cls]!,
      class_id: cls,
    })),
  }));
  return answers.length === 1 ? answers[0]! : answers;
}

import { readFile } from "node:fs/promises";
import { Detector } from "@airloom/inference/engine/detector.ts";
import { fromYolo } from "@airloom/yolo/boxes/boxes.ts";
import { validationNms } from "@airloom/yolo/boxes/nms.ts";
import { evaluate, type Metrics } from "@airloom/yolo/metrics/average-precision.ts";
import type { PictureFile } from "@airloom/yolo/train/pictures.ts";

/** A model as it is served. */
export interface OnnxModel {
  readonly onnx: Buffer;
  readonly labels: readonly string[];
  readonly side: number;
}

/**
 * The metrics of a model on labelled pictures, through the code that serves it. The pictures' classes are indices into
 * `labels`; the model's own labels may be others or in another order, and classes that it does not know are left out.
 */
export async function measureOnnx({ onnx, labels: own, side }: OnnxModel, pictures: readonly PictureFile[], labels: readonly string[]): Promise<Metrics> {
  const detector = await Detector.load(onnx, { labels: own, side, threads: 2 });
  try {
    const evaluated = [];
    for (const { file, objects, asked } of pictures) {
      const { detections, width, height } = await detector.detect(await readFile(file), validationNms);
      const known = objects.map(({ cls, xywh }) => ({ cls: own.indexOf(labels[cls]!), box: fromYolo(xywh, width, height) }));
      const askedOfOwn = asked?.map((cls) => own.indexOf(labels[cls]!)).filter((cls) => cls >= 0);
      evaluated.push({ detections, objects: known.filter(({ cls }) => cls >= 0), asked: askedOfOwn });
    }
    return evaluate(evaluated, own.length);
  } finally {
    await detector.dispose();
  }
}

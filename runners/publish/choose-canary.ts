import { readFile } from "node:fs/promises";
import { Detector } from "@airloom/inference/engine/detector.ts";
import { canaryOptions, expectedOf } from "@airloom/inference/model/canary.ts";
import type { Manifest } from "@airloom/inference/model/manifest.ts";

/** Pictures that are looked at, and how sure a detection must be to be expected again. */
const candidates = 32;
const sure = 0.5;

/** The picture in which a model's sure detections are surest, and what it finds there; undefined where it is sure of nothing. */
export async function chooseCanary(
  onnx: Buffer,
  { labels, side }: { labels: readonly string[]; side: number },
  images: readonly string[],
): Promise<{ image: string; detections: NonNullable<Manifest["canary"]>["detections"] } | undefined> {
  const detector = await Detector.load(onnx, { labels, side, threads: 2 });
  try {
    let best: { image: string; least: number; detections: NonNullable<Manifest["canary"]>["detections"] } | undefined;
    for (const image of images.slice(0, candidates)) {
      const { detections } = await detector.detect(await readFile(image), canaryOptions);
      const clear = detections.filter(({ score }) => score >= sure);
      const least = Math.min(...clear.map(({ score }) => score));
      if (clear.length > 0 && (!best || least > best.least)) best = { image, least, detections: expectedOf(clear, labels) };
    }
    return best;
  } finally {
    await detector.dispose();
  }
}

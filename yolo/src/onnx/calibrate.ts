import * as tf from "@tensorflow/tfjs-node";
import type { Picture } from "../augment/sample.ts";
import { letterbox, padGrey } from "../boxes/letterbox.ts";
import { type ModelConfig, yolov8 } from "../nn/model.ts";
import type { Layout, Weights } from "../nn/parameters.ts";
import { predictLayers } from "../nn/predict-layers.ts";
import type { Ranges } from "./quantise.ts";

/** The ranges of all values of the network on pictures, whose longer side is `side`; one after the other. */
export function calibrate(config: ModelConfig, layout: Layout, weights: Weights, pictures: readonly Picture[], side: number): Ranges {
  const ranges = new Map<string, [number, number]>();
  const seen: { name: string; low: tf.Scalar; high: tf.Scalar }[] = [];
  const { layers, dispose } = predictLayers(layout, weights, (name, value) => seen.push({ name, low: tf.min(value), high: tf.max(value) }));
  try {
    for (const picture of pictures)
      tf.tidy(() => {
        seen.length = 0;
        yolov8<tf.Tensor>(layers, framed(picture, side), config);
        const numbers = tf.stack(seen.flatMap(({ low, high }) => [low, high])).dataSync();
        seen.forEach(({ name }, i) => {
          const [low, high] = ranges.get(name) ?? [Infinity, -Infinity];
          ranges.set(name, [Math.min(low, numbers[2 * i]!), Math.max(high, numbers[2 * i + 1]!)]);
        });
      });
  } finally {
    dispose();
  }
  return ranges;
}

/** A picture on the grey square that the network is served. */
function framed({ pixels, width, height }: Picture, side: number): tf.Tensor4D {
  const { left, top } = letterbox(width, height, side);
  const values = new Float32Array(side * side * 3).fill(padGrey / 255);
  for (let y = 0; y < height; y++) for (let i = 0; i < width * 3; i++) values[((y + top) * side + left) * 3 + i] = pixels[y * width * 3 + i]! / 255;
  return tf.tensor4d(values, [1, side, side, 3]);
}

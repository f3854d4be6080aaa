import * as tf from "@tensorflow/tfjs-node";
import type { Picture } from "../augment/sample.ts";
import { applyLetterbox, letterbox, padGrey } from "../boxes/letterbox.ts";
import { detectionsOf, validationNms } from "../boxes/nms.ts";
import { anchorTensors, decodeBoxes, flattenLevels } from "../loss/decode.ts";
import { evaluate, type Evaluated, type Metrics } from "../metrics/average-precision.ts";
import { type ModelConfig, yolov8 } from "../nn/model.ts";
import type { Layout, Weights } from "../nn/parameters.ts";
import { predictLayers } from "../nn/predict-layers.ts";

const batchSize = 8;

/** Pictures [n, side, side, 3] float32 RGB in 0 … 1, centred on grey. */
function letterboxed(pictures: readonly Picture[], side: number): tf.Tensor4D {
  const values = new Float32Array(pictures.length * side * side * 3).fill(padGrey / 255);
  pictures.forEach(({ pixels, width, height }, n) => {
    const { left, top } = letterbox(width, height, side);
    for (let y = 0; y < height; y++) {
      const to = ((n * side + y + top) * side + left) * 3;
      const from = y * width * 3;
      for (let i = 0; i < width * 3; i++) values[to + i] = pixels[from + i]! / 255;
    }
  });
  return tf.tensor4d(values, [pictures.length, side, side, 3]);
}

/** Raw output [n, 4 + classes, anchors] float32 for a batch, the same as the exported ONNX gives. */
export function predict(config: ModelConfig, nn: ReturnType<typeof predictLayers>["layers"], images: tf.Tensor4D): tf.Tensor3D {
  return tf.tidy(() => {
    const { box, cls } = flattenLevels(yolov8<tf.Tensor>(nn, images, config));
    const [low, high] = tf.split(decodeBoxes(box, anchorTensors(images.shape[1], images.shape[2])), 2, 2);
    const centre = tf.mul(tf.add(low!, high!), 0.5);
    return tf.transpose(tf.concat([centre, tf.sub(high!, low!), tf.sigmoid(cls)], 2), [0, 2, 1]) as tf.Tensor3D;
  });
}

/** The metrics of weights on pictures whose longer side is `side`. */
export async function validate(config: ModelConfig, layout: Layout, weights: Weights, pictures: readonly Picture[], side: number): Promise<Metrics> {
  const { layers, dispose } = predictLayers(layout, weights);
  const evaluated: Evaluated[] = [];
  try {
    for (let start = 0; start < pictures.length; start += batchSize) {
      const part = pictures.slice(start, start + batchSize);
      const images = letterboxed(part, side);
      const output = predict(config, layers, images);
      const values = (await output.data()) as Float32Array;
      tf.dispose([images, output]);
      const length = values.length / part.length;
      part.forEach(({ objects, width, height }, i) => {
        const at = letterbox(width, height, side);
        evaluated.push({
          objects: objects.map(({ box, cls }) => ({ cls, box: applyLetterbox(box, at, width, height) })),
          detections: detectionsOf(values.subarray(i * length, (i + 1) * length), config.classes, validationNms),
        });
      });
    }
  } finally {
    dispose();
  }
  return evaluate(evaluated, config.classes);
}

import * as tf from "@tensorflow/tfjs-node";
import { anchorTensors, decodeBoxes, flattenLevels } from "../loss/decode.ts";
import { type Layers, type ModelConfig, yolov8 } from "./model.ts";

/** Raw output [n, 4 + classes, anchors] float32 for pictures [n, height, width, 3], the same as the exported ONNX gives. */
export function predict(config: ModelConfig, nn: Layers<tf.Tensor>, images: tf.Tensor4D): tf.Tensor3D {
  return tf.tidy(() => {
    const { box, cls } = flattenLevels(yolov8<tf.Tensor>(nn, images, config));
    const [low, high] = tf.split(decodeBoxes(box, anchorTensors(images.shape[1], images.shape[2])), 2, 2);
    const centre = tf.mul(tf.add(low!, high!), 0.5);
    return tf.transpose(tf.concat([centre, tf.sub(high!, low!), tf.sigmoid(cls)], 2), [0, 2, 1]) as tf.Tensor3D;
  });
}

// Images a second of a whole training step (forward, loss, assignment, backward, optimiser, averages), without the loader:
//
//   TF_CPP_MIN_LOG_LEVEL=2 node --import tsx bench/train-step.ts [side] [batch] [steps]
import * as tf from "@tensorflow/tfjs-node";
import { seededRandom } from "../yolo/src/augment/random.ts";
import { initialWeights, layoutOf } from "../yolo/src/nn/parameters.ts";
import { initialState, runStepEagerly, stepSetting } from "../yolo/src/train/step.ts";

const [side = 320, batch = 8, steps = 10] = process.argv.slice(2).map(Number);
const config = { size: "n", classes: 3 } as const;
const layout = layoutOf(config);
const setting = stepSetting(config, layout, side, "AdamW", 5e-4);
const rates = { learningRate: 1e-3, biasRate: 1e-3, momentum: 0.9, averageDecay: 0.99 };
const random = seededRandom(0);
const images = Float32Array.from({ length: batch * side * side * 3 }, () => random());
const boxes = Array.from({ length: batch }, () => Array.from({ length: 16 }, () => [random() * side * 0.5, random() * side * 0.5, side * 0.7, side * 0.8]));

let state = initialState(initialWeights(layout, 0));
const times: number[] = [];
for (let step = 0; step < steps + 2; step++) {
  const truth = {
    boxes: tf.tensor3d(boxes),
    classes: tf.oneHot(tf.zeros([batch, 16], "int32"), 3).toFloat() as tf.Tensor3D,
    present: tf.ones<tf.Rank.R3>([batch, 16, 1]),
  };
  const started = performance.now();
  const result = runStepEagerly(setting, state, { images: tf.tensor4d(images, [batch, side, side, 3]), ...truth }, { ...rates, update: step + 1 });
  times.push((performance.now() - started) / 1000);
  state = result.state;
}
const measured = times.slice(2).toSorted((a, b) => a - b);
const median = measured[Math.floor(measured.length / 2)]!;
const peak = process.resourceUsage().maxRSS / 1024;
console.log(
  `side ${side}, batch ${batch}: median step ${(median * 1000).toFixed(0)} ms, ${(batch / median).toFixed(1)} images/s, peak memory ${peak.toFixed(0)} MB`,
);

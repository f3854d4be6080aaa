// One measurement of training on this machine's device, in a process of its own: TensorFlow picks the device once.
// Prints one line of JSON. Arguments: eager or traced, fp32 or bf16, side, batch, steps.
import * as tf from "@tensorflow/tfjs-node";
import { seededRandom } from "../../yolo/src/augment/random.ts";
import { initialWeights, layoutOf } from "../../yolo/src/nn/parameters.ts";
import { EagerTrainer } from "../../yolo/src/train/eager.ts";
import { stepSetting } from "../../yolo/src/train/step.ts";
import { TracedTrainer } from "../../yolo/src/train/traced.ts";
import { freshState } from "../../yolo/src/train/trainer.ts";
import type { Probe } from "./verdict.ts";

const objects = 8;

const [engine = "traced", precision = "fp32", ...numbers] = process.argv.slice(2);
const [side = 320, batch = 8, steps = 5] = numbers.map(Number);
const config = { size: "n", classes: 3 } as const;
const setting = stepSetting({ config, side, optimizer: "SGD", weightDecay: 5e-4, precision: precision === "bf16" ? "bf16" : "fp32" });
const random = seededRandom(0);
const host = {
  images: Uint8Array.from({ length: batch * side * side * 3 }, () => random() * 256),
  boxes: Float32Array.from(Array.from({ length: batch * objects }, () => [random() * side * 0.5, random() * side * 0.5, side * 0.7, side * 0.8]).flat()),
  classes: Int32Array.from({ length: batch * objects }, () => random() * 3),
  objects,
};
const trainer = new (engine === "eager" ? EagerTrainer : TracedTrainer)(setting, freshState(initialWeights(layoutOf(config), 0)));
const losses: number[][] = [];
const seconds: number[] = [];
for (let update = 1; update <= steps + 1; update++) {
  const started = performance.now();
  losses.push([...trainer.step(host, { learningRate: 1e-3, biasRate: 1e-3, momentum: 0.9, averageDecay: 0.99, update })]);
  seconds.push((performance.now() - started) / 1000);
}
const later = seconds.slice(1).toSorted((a, b) => a - b);
const { isUsingGpuDevice } = tf.backend() as unknown as { isUsingGpuDevice: boolean };
const probe: Probe = {
  gpu: isUsingGpuDevice,
  losses,
  firstStepSeconds: seconds[0]!,
  imagesPerSecond: batch / later[Math.floor(later.length / 2)]!,
};
console.log(JSON.stringify(probe));

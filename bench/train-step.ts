// Images a second of a whole training step (forward, loss, assignment, backward, optimiser, averages), without the loader:
//
//   PRECISION=fp32|bf16 TF_CPP_MIN_LOG_LEVEL=2 node --import tsx bench/train-step.ts [eager|traced] [side] [batch] [steps]
import { seededRandom } from "../yolo/src/augment/random.ts";
import { initialWeights, layoutOf } from "../yolo/src/nn/parameters.ts";
import type { Size } from "../yolo/src/nn/model.ts";
import { EagerTrainer } from "../yolo/src/train/eager.ts";
import { stepSetting } from "../yolo/src/train/step.ts";
import { TracedTrainer } from "../yolo/src/train/traced.ts";
import { freshState } from "../yolo/src/train/trainer.ts";

const [engine = "traced", ...numbers] = process.argv.slice(2);
const [side = 320, batch = 8, steps = 10] = numbers.map(Number);
const config = { size: (process.env["SIZE"] ?? "n") as Size, classes: 3 } as const;
const layout = layoutOf(config);
const precision = process.env["PRECISION"] === "bf16" ? "bf16" : "fp32";
const setting = stepSetting({ config, side, optimizer: "AdamW", weightDecay: 5e-4, precision });
const rates = { learningRate: 1e-3, biasRate: 1e-3, momentum: 0.9, averageDecay: 0.99 };
const random = seededRandom(0);
const objects = 16;
const host = {
  images: Uint8Array.from({ length: batch * side * side * 3 }, () => random() * 256),
  boxes: Float32Array.from(Array.from({ length: batch * objects }, () => [random() * side * 0.5, random() * side * 0.5, side * 0.7, side * 0.8]).flat()),
  classes: Int32Array.from({ length: batch * objects }, () => random() * 3),
  objects,
};
const trainer = new (engine === "eager" ? EagerTrainer : TracedTrainer)(setting, freshState(initialWeights(layout, 0)));
const times: number[] = [];
for (let step = 0; step < steps + 2; step++) {
  const started = performance.now();
  trainer.step(host, { ...rates, update: step + 1 });
  times.push((performance.now() - started) / 1000);
}
const measured = times.slice(2).toSorted((a, b) => a - b);
const median = measured[Math.floor(measured.length / 2)]!;
const peak = process.resourceUsage().maxRSS / 1024;
console.log(
  `${engine}, yolov8${config.size}, side ${side}, batch ${batch}: first step ${times[0]!.toFixed(1)} s, then median ${(median * 1000).toFixed(0)} ms (fastest ${(measured[0]! * 1000).toFixed(0)}), ${(batch / median).toFixed(1)} images/s, peak memory ${peak.toFixed(0)} MB`,
);

// The network in 8 bits against 32, in ONNX Runtime on one thread, milliseconds a picture of 640 × 640:
//
//   TF_CPP_MIN_LOG_LEVEL=3 node --import tsx bench/int8.ts [size] [rounds]
import { InferenceSession, Tensor } from "onnxruntime-node";
import { seededRandom } from "../yolo/src/augment/random.ts";
import type { Size } from "../yolo/src/nn/model.ts";
import { initialWeights, layoutOf } from "../yolo/src/nn/parameters.ts";
import { calibrate } from "../yolo/src/onnx/calibrate.ts";
import { exportOnnx } from "../yolo/src/onnx/export.ts";

const side = 640;
const [size = "n", rounds = "3"] = process.argv.slice(2);
const config = { size: size as Size, classes: 3 };
const layout = layoutOf(config);
const weights = initialWeights(layout, 0);
const random = seededRandom(0);
const pixels = Uint8Array.from({ length: side * side * 3 }, () => random() * 256);
const ranges = calibrate(config, layout, weights, [{ pixels, width: side, height: side, objects: [] }], side);
const options = { side, labels: ["a", "b", "c"] };
const models = { "32 bits": exportOnnx(config, layout, weights, options), "8 bits": exportOnnx(config, layout, weights, { ...options, ranges }) };
const images = new Tensor(
  "float32",
  Float32Array.from(pixels, (value) => value / 255),
  [1, 3, side, side],
);

const medians = new Map<string, number[]>();
for (let round = 0; round < Number(rounds); round++)
  for (const [name, model] of Object.entries(models)) {
    const session = await InferenceSession.create(model, { intraOpNumThreads: 1, logSeverityLevel: 3 });
    const times: number[] = [];
    for (let i = 0; i < 25; i++) {
      const started = performance.now();
      await session.run({ images });
      times.push(performance.now() - started);
    }
    await session.release();
    medians.set(name, [...(medians.get(name) ?? []), times.toSorted((a, b) => a - b)[12]!]);
  }
const [full, small] = Object.keys(models).map((name) => medians.get(name)!.toSorted((a, b) => a - b)[Math.floor(Number(rounds) / 2)]!) as [number, number];
console.log(`yolov8${size}: ${full.toFixed(1)} ms in 32 bits, ${small.toFixed(1)} ms in 8: ${(full / small).toFixed(2)} × as fast`);

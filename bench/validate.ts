// Validation (decoding, framing, network, losses, NMS, metrics) against ONNX Runtime alone on the same batches:
//
//   TF_CPP_MIN_LOG_LEVEL=2 node --import tsx bench/validate.ts [side] [batch] [WEIGHTS.safetensors]
//
// Pictures are decoded once before, as they are from a run's second epoch on. With weights that a run has left the boxes are
// as many as they are in earnest; an untrained network finds hundreds in each picture.
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { InferenceSession, Tensor } from "onnxruntime-node";
import { initialWeights, layoutOf } from "../yolo/src/nn/parameters.ts";
import { exportRawOnnx } from "../yolo/src/onnx/export.ts";
import { readWeightsFile, takeWeights } from "../yolo/src/weights/take-weights.ts";
import { Validator } from "../yolo/src/train/validate.ts";
import { drawSet } from "./drawn-sets.ts";

const [side = 320, batch = 8] = process.argv.slice(2, 4).map(Number);
const weightsFile = process.argv[4];
const rounds = 3;
/** Each picture stands in the split so many times: a run's fixed cost counts as it does for a split of some hundred. */
const repeats = 4;
const folder = await mkdtemp(path.join(tmpdir(), "bench-validate-"));
try {
  const { labels, validation: drawn } = await drawSet("shapes", folder, side);
  const validation = Array.from({ length: repeats }, () => drawn).flat();
  const config = { size: "n", classes: labels.length } as const;
  const layout = layoutOf(config);
  const weights = weightsFile ? takeWeights(layout, readWeightsFile(await readFile(weightsFile)).tensors, 0).weights : initialWeights(layout, 0);
  const validator = new Validator(validation, { config, layout, side, batch, cacheBytes: 2 ** 30 });
  await validator.run(weights);

  const session = await InferenceSession.create(exportRawOnnx(config, layout, weights));
  const pixels = new Tensor("uint8", new Uint8Array(batch * 3 * side * side).fill(128), [batch, side, side, 3]);
  await session.run({ pixels });
  const bare = async () => {
    const started = performance.now();
    for (let n = 0; n < validation.length; n += batch) await session.run({ pixels });
    return (performance.now() - started) / 1000;
  };
  const times: { bare: number; whole: number }[] = [];
  for (let i = 0; i < rounds; i++) times.push({ bare: await bare(), whole: (await validator.run(weights)).seconds });
  const median = (name: "bare" | "whole") => times.map((each) => each[name]).toSorted((a, b) => a - b)[Math.floor(rounds / 2)]!;
  const [alone, whole] = [median("bare"), median("whole")].map((seconds) => validation.length / seconds) as [number, number];
  console.log(
    `side ${side}, batch ${batch}: ${alone.toFixed(1)} images/s in ONNX Runtime alone, ${whole.toFixed(1)} in validation: ${(whole / alone).toFixed(2)} ×`,
  );
  await validator.dispose();
} finally {
  await rm(folder, { recursive: true, force: true });
}

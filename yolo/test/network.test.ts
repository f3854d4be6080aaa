import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { execa } from "execa";
import { InferenceSession, Tensor } from "onnxruntime-node";
import * as tf from "@tensorflow/tfjs-node";
import { decodeLevels } from "../src/boxes/raw-levels.ts";
import { seededRandom, uniform } from "../src/augment/random.ts";
import { layoutOf, initialWeights } from "../src/nn/parameters.ts";
import { predictLayers } from "../src/nn/predict-layers.ts";
import { exportOnnx, exportRawOnnx } from "../src/onnx/export.ts";
import { predict } from "../src/nn/predict.ts";
import { EagerTrainer } from "../src/train/eager.ts";
import { lossAndGradient, stepSetting } from "../src/train/step.ts";
import { freshState } from "../src/train/trainer.ts";
import { readCheckpoint, writeCheckpoint, writeTorchCheckpoint } from "../src/weights/checkpoint.ts";
import { readSafetensors } from "../src/weights/safetensors.ts";
import "./instruction-set.ts";

const config = { size: "n", classes: 3 } as const;
const layout = layoutOf(config);
const side = 64;

/** Weights whose running statistics are not the neutral 0 and 1, so that folding them is put to the test. */
function someWeights() {
  const weights = initialWeights(layout, 7);
  const random = seededRandom(9);
  weights.stats.forEach((_, i) => (weights.stats[i] = uniform(random, 0.5, 1.5)));
  return weights;
}

function somePicture(batch: number): Float32Array {
  const random = seededRandom(21);
  return Float32Array.from({ length: batch * side * side * 3 }, () => random());
}

describe("the network", () => {
  it("has the published number of parameters: 3,157,184 trained ones and 183 tensors for 80 classes (n)", () => {
    const coco = layoutOf({ size: "n", classes: 80 });
    assert.equal(coco.length, 3_157_184);
    assert.equal(coco.slots.size, 183);
  });

  it("has the published sizes in millions: 11.2 (s), 25.9 (m), 43.7 (l), 68.2 (x)", () => {
    const millions = (["s", "m", "l", "x"] as const).map((size) => Number((layoutOf({ size, classes: 80 }).length / 1e6).toFixed(1)));
    assert.deepEqual(millions, [11.2, 25.9, 43.7, 68.2]);
  });

  it("predicts in ONNX Runtime what it predicts in TensorFlow: several pictures at once, and any height and width", async () => {
    const weights = someWeights();
    const { layers, dispose } = predictLayers(layout, weights);
    const session = await InferenceSession.create(exportOnnx(config, layout, weights, { side, labels: ["a", "b", "c"] }));
    const random = seededRandom(17);
    for (const [count, height, width] of [
      [2, side, side],
      [1, 96, 160],
      [3, 64, 32],
    ] as const) {
      const images = tf.tensor4d(
        Float32Array.from({ length: count * height * width * 3 }, () => random()),
        [count, height, width, 3],
      );
      const ours = predict(config, layers, images);
      const planes = (await tf.transpose(images, [0, 3, 1, 2]).data()) as Float32Array;
      const { output0 } = await session.run({ images: new Tensor("float32", planes, [count, 3, height, width]) });
      assert.deepEqual(output0!.dims, ours.shape);
      const theirs = output0!.data as Float32Array;
      const worst = (ours.dataSync() as Float32Array).reduce((most, value, i) => Math.max(most, Math.abs(value - theirs[i]!)), 0);
      assert.ok(worst < 1e-3, `${height} × ${width}: largest difference ${worst}`);
    }
    dispose();
  });

  it("agrees with its ONNX on 100 pictures: to 1e-3 px and 1e-4 of a score", async () => {
    const weights = initialWeights(layout, 11);
    const { layers, dispose } = predictLayers(layout, weights);
    const session = await InferenceSession.create(exportOnnx(config, layout, weights, { side, labels: ["a", "b", "c"] }));
    const random = seededRandom(5);
    const anchors = (side / 8) ** 2 + (side / 16) ** 2 + (side / 32) ** 2;
    let [pixels, scores] = [0, 0];
    for (let part = 0; part < 10; part++) {
      const images = tf.tensor4d(
        Float32Array.from({ length: 10 * side * side * 3 }, () => random()),
        [10, side, side, 3],
      );
      const ours = predict(config, layers, images);
      const planes = tf.transpose(images, [0, 3, 1, 2]);
      const { output0 } = await session.run({ images: new Tensor("float32", planes.dataSync() as Float32Array, [10, 3, side, side]) });
      const theirs = output0!.data as Float32Array;
      (ours.dataSync() as Float32Array).forEach((value, i) => {
        const apart = Math.abs(value - theirs[i]!);
        if (Math.floor(i / anchors) % 7 < 4) pixels = Math.max(pixels, apart);
        else scores = Math.max(scores, apart);
      });
      tf.dispose([images, ours, planes]);
    }
    dispose();
    assert.ok(pixels <= 1e-3 && scores <= 1e-4, `${pixels} px, ${scores} of a score`);
  }).timeout(60_000);

  it("has the gradient that finite differences of its own loss give", () => {
    const setting = stepSetting({ config, side, optimizer: "SGD", weightDecay: 0 });
    const weights = initialWeights(layout, 3);
    // Only what background and class targets share is smooth; so the picture is empty, and all of the loss is its BCE.
    const empty = () => ({
      images: tf.tensor4d(somePicture(2), [2, side, side, 3]),
      boxes: tf.tensor3d([[[6, 6, 50, 40]], [[10, 20, 60, 60]]]),
      classes: tf.tensor2d([[-1], [-1]], [2, 1], "int32"),
    });
    const lossAt = (parameters: Float32Array) => tf.tidy(() => 0.5 * 2 * lossAndGradient(setting, tf.tensor1d(parameters), empty()).parts.dataSync()[1]!);
    const gradient = tf.tidy(() => lossAndGradient(setting, tf.tensor1d(weights.parameters), empty()).gradient.dataSync());
    // Along the gradient's own direction the loss must fall as fast as the gradient is long.
    const norm = Math.sqrt((gradient as Float32Array).reduce((sum, value) => sum + value ** 2, 0));
    const step = 1e-4 / norm;
    const moved = (sign: number) => weights.parameters.map((value, i) => value + sign * step * gradient[i]!);
    const numeric = (lossAt(moved(1)) - lossAt(moved(-1))) / (2 * step);
    assert.ok(Math.abs(numeric / norm ** 2 - 1) < 0.03, `slope ${numeric}, squared length of the gradient ${norm ** 2}`);
  });

  it("learns one batch by heart, and leaks no tensors", () => {
    const setting = stepSetting({ config, side, optimizer: "AdamW", weightDecay: 5e-4 });
    const trainer = new EagerTrainer(setting, freshState(initialWeights(layout, 1)));
    const rates = { learningRate: 2e-3, biasRate: 2e-3, momentum: 0.9, averageDecay: 0.9 };
    const batch = {
      images: Uint8Array.from(somePicture(2), (value) => value * 255),
      boxes: Float32Array.of(6, 6, 50, 40, 10, 20, 60, 60),
      classes: Int32Array.of(0, 2),
      objects: 1,
    };
    const losses: number[] = [];
    let tensors = 0;
    for (let step = 0; step < 30; step++) {
      const parts = trainer.step(batch, { ...rates, update: step + 1 });
      losses.push(parts.reduce((sum, part) => sum + part, 0));
      if (step === 1) tensors = tf.memory().numTensors;
    }
    assert.equal(tf.memory().numTensors, tensors);
    trainer.dispose();
    assert.ok(losses.at(-1)! < losses[0]! / 2, `loss went from ${losses[0]} to ${losses.at(-1)}`);
  }).timeout(60_000);

  it("comes back from a checkpoint as it went in", () => {
    const weights = someWeights();
    const back = readCheckpoint(writeCheckpoint({ config, labels: ["a", "b", "c"], side, weights }));
    assert.deepEqual(back.weights, weights);
    assert.deepEqual([back.labels, back.side, back.config], [["a", "b", "c"], side, config]);
  });
});

describe("the .pt file", () => {
  it("unpickles to the same tensors, and needs nothing but what weights_only allows", async () => {
    const folder = await mkdtemp(path.join(tmpdir(), "pt-"));
    try {
      const weights = someWeights();
      const file = path.join(folder, "best.pt");
      await writeFile(file, await writeTorchCheckpoint({ config, labels: ["a", "b", "c"], side, weights }));
      const python = fileURLToPath(new URL("../../.venv-test/bin/python", import.meta.url));
      // Python's own pickle, with stand-ins for torch's two names; torch 2.13 itself read such a file when this was written.
      const { stdout } = await execa(python, [fileURLToPath(new URL("read_pt.py", import.meta.url)), file]);
      const { sums, names, shape } = JSON.parse(stdout) as { sums: Record<string, number>; names: string[]; shape: number[] };
      assert.deepEqual(names, ["a", "b", "c"]);
      assert.deepEqual(shape, [16, 3, 3, 3]);
      const { tensors } = readSafetensors(writeCheckpoint({ config, labels: names, side, weights }));
      assert.deepEqual(Object.keys(sums), [...tensors.keys()]);
      for (const [name, { values }] of tensors)
        assert.ok(Math.abs(sums[name]! - values.reduce((sum, value, i) => sum + value * ((i % 7) + 1), 0)) < 1e-2, name);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  }).timeout(60_000);
});

describe("raw levels", () => {
  it("decode to what the whole ONNX graph gives for the same picture, for every class of a cell", async () => {
    const weights = someWeights();
    const pixels = Uint8Array.from(somePicture(1), (value) => value * 255);
    const planes = new Float32Array(3 * side * side).map((_, i) => pixels[(i % (side * side)) * 3 + Math.floor(i / (side * side))]! / 255);
    const run = async (onnx: Uint8Array, feeds: InferenceSession.FeedsType) => {
      const session = await InferenceSession.create(onnx, { logSeverityLevel: 3 });
      const outputs = await session.run(feeds);
      await session.release();
      return outputs;
    };
    const raw = await run(exportRawOnnx(config, layout, weights), { pixels: new Tensor("uint8", pixels, [1, side, side, 3]) });
    const levels = [3, 4, 5].map((p) => {
      const [, , height, width] = raw[`cls${p}`]!.dims as [number, number, number, number];
      return { box: raw[`box${p}`]!.data as Float32Array, cls: raw[`cls${p}`]!.data as Float32Array, height, width };
    });
    const { output0 } = await run(exportOnnx(config, layout, weights, { side, labels: ["a", "b", "c"] }), {
      images: new Tensor("float32", planes, [1, 3, side, side]),
    });
    const [, , anchors] = output0!.dims as [number, number, number];
    const value = (row: number, anchor: number) => (output0!.data as Float32Array)[row * anchors + anchor]!;
    // In the order of levels, classes, cells; all of them, for no score is 0.
    let from = 0;
    const expected = levels.flatMap(({ height, width }) => {
      const first = from;
      from += height * width;
      return [0, 1, 2].flatMap((cls) => Array.from({ length: height * width }, (_, cell) => ({ cls, anchor: first + cell })));
    });
    const found = decodeLevels(levels, 3, 1e-12);
    assert.equal(found.length, 3 * anchors);
    expected.forEach(({ cls, anchor }, i) => {
      const [cx, cy, w, h] = [0, 1, 2, 3].map((row) => value(row, anchor)) as [number, number, number, number];
      const { box, score, cls: own } = found[i]!;
      assert.equal(own, cls);
      const known = [cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2, value(4 + cls, anchor)];
      const differences = [...box, score].map((number, n) => Math.abs(number - known[n]!));
      assert.ok(Math.max(...differences) < 1e-3 && differences[4]! < 1e-5, `anchor ${anchor}: off by ${differences.join(", ")}`);
    });
  }).timeout(60_000);
});

describe("the ONNX file", () => {
  it("passes onnx.checker's full check", async () => {
    const folder = await mkdtemp(path.join(tmpdir(), "onnx-"));
    try {
      const file = path.join(folder, "model.onnx");
      await writeFile(file, exportOnnx(config, layout, someWeights(), { side: 320, labels: ["a", "b", 'c "d"'] }));
      const python = fileURLToPath(new URL("../../.venv-test/bin/python", import.meta.url));
      const check =
        "import onnx, sys\nm = onnx.load(sys.argv[1])\nonnx.checker.check_model(m, full_check=True)\nprint(m.opset_import[0].version, m.ir_version, [d.dim_value or d.dim_param for d in m.graph.output[0].type.tensor_type.shape.dim])";
      const { stdout } = await execa(python, ["-c", check, file]);
      assert.equal(stdout, "13 8 ['batch', 7, 'anchors']");
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  }).timeout(60_000);
});

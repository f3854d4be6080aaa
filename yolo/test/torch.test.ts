import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import * as tf from "@tensorflow/tfjs-node";
import { anchorTensors } from "../src/loss/decode.ts";
import { detectionLoss } from "../src/loss/loss.ts";
import type { Size } from "../src/nn/model.ts";
import { layoutOf } from "../src/nn/parameters.ts";
import { lossAndGradient, stepSetting, truthOf } from "../src/train/step.ts";
import { readCheckpoint, writeCheckpoint } from "../src/weights/checkpoint.ts";
import { type NamedTensor, readSafetensors, writeSafetensors } from "../src/weights/safetensors.ts";
import "./instruction-set.ts";

// From torch 2.13, by yolo/reference/make_torch_golden.py: a network and a loss written apart from ours.
const golden = JSON.parse(readFileSync(new URL("golden/torch-step.json", import.meta.url), "utf8")) as {
  loss: Record<
    string,
    { truth: [number[][], number[]][]; parts: [number, number, number]; box: [norm: number, product: number]; cls: [norm: number, product: number] }
  >;
  sizes: Record<Size, { parts: [number, number, number]; gradients: Record<string, [norm: number, product: number]> }>;
};

const side = 64;
const labels = ["a", "b", "c"];

/** The same numbers as the script's `hashed`. */
function hashed(count: number, salt: number): Float32Array {
  return Float32Array.from({ length: count }, (_, i) => {
    let x = (Math.imul(i, 2654435761) + salt * 40503 + 1) >>> 0;
    x = Math.imul(x ^ (x >>> 15), 2246822519) >>> 0;
    x = Math.imul(x ^ (x >>> 13), 3266489917) >>> 0;
    x = (x ^ (x >>> 16)) >>> 0;
    return Math.fround((x / 2 ** 32) * 2 - 1);
  });
}

/** Names and shapes of the parameters as torch has them. */
function parametersOf(size: Size): [string, readonly number[]][] {
  const config = { size, classes: 3 };
  const layout = layoutOf(config);
  const slots = [...layout.slots.values()].map(({ name, shape }): [string, readonly number[]] => {
    const [kh, kw, channels, out] = shape as [number, number, number, number];
    return [name, shape.length === 4 ? [out, channels, kh, kw] : shape];
  });
  return slots.toSorted(([a], [b]) => (a < b ? -1 : 1));
}

function hashedWeights(size: Size) {
  const tensors = new Map<string, NamedTensor>();
  parametersOf(size).forEach(([name, shape], salt) => {
    const u = hashed(
      shape.reduce((product, length) => product * length, 1),
      salt,
    );
    const fan = shape.slice(1).reduce((product, length) => product * length, 1);
    const value = (x: number) => {
      if (shape.length === 4) return x / Math.sqrt(fan);
      if (name.endsWith("bn.weight")) return 1 + 0.2 * x;
      if (name.endsWith("box.out.bias")) return 1 + 0.1 * x;
      return name.endsWith("cls.out.bias") ? -2 + 0.5 * x : 0.1 * x;
    };
    tensors.set(name, { shape, values: u.map(value) });
  });
  for (const { name, length } of layoutOf({ size, classes: 3 }).stats.values()) tensors.set(name, { shape: [length], values: new Float32Array(length) });
  const metadata = { model: `yolov8${size}`, imgsz: String(side), labels: JSON.stringify(labels) };
  return readCheckpoint(writeSafetensors(tensors, metadata)).weights;
}

// How near: forward and back, the roundings of float32 leave 2e-5 (n) to 5e-5 (x) of a gradient's length (roundingBound of all
// convolutions' sums one after the other), in torch as in here, whatever the order of a sum. A loss is held to twice the largest.
// A gradient has passed norms over 8 cells (2 pictures of 2 × 2), each of which takes a mean and a slope away from what comes back:
// it may be 20 times as far off, and its product with a random vector, whose own length is by chance, twice that. A term left out
// is tenths.
describe("a training step against torch", () => {
  for (const size of ["n", "s", "m", "l", "x"] as const)
    it(`has torch's loss to 1e-4 and its gradients to 1e-3 (yolov8${size})`, () => {
      const config = { size, classes: 3 };
      const setting = stepSetting({ config, side, optimizer: "SGD", weightDecay: 0 });
      const images = hashed(2 * side * side * 3, 999).map((x) => (x + 1) / 2);
      const boxes = [4, 6, 30, 40, 0, 20, 64, 60, 50, 2, 55.5, 6.25, ...Array.from({ length: 12 }, () => 0)];
      const made: Record<"parts" | "gradient" | "batchStats", Float32Array>[] = [];
      tf.tidy(() => {
        const { parts, gradient, batchStats } = lossAndGradient(setting, tf.tensor1d(hashedWeights(size).parameters), {
          images: tf.tensor4d(images, [2, side, side, 3]),
          boxes: tf.tensor3d(boxes, [2, 3, 4]),
          classes: tf.tensor2d([0, 2, 1, -1, -1, -1], [2, 3], "int32"),
        });
        const read = (tensor: tf.Tensor) => Float32Array.from(tensor.dataSync());
        made.push({ parts: read(parts), gradient: read(gradient), batchStats: read(batchStats) });
        parts.dispose();
      });
      const { parts, gradient, batchStats } = made[0]!;
      const theirs = golden.sizes[size];
      theirs.parts.forEach((value, i) => assert.ok(Math.abs(parts[i]! / value - 1) < 1e-4, `loss ${i}: ${parts[i]}, torch ${value}`));
      const { tensors } = readSafetensors(writeCheckpoint({ config, labels, side, weights: { parameters: gradient, stats: batchStats } }));
      parametersOf(size).forEach(([name], salt) => {
        const { values } = tensors.get(name)!;
        const [norm, product] = theirs.gradients[name]!;
        const direction = hashed(values.length, salt + 5000);
        const own = Math.sqrt(values.reduce((sum, value) => sum + value ** 2, 0));
        const ownProduct = values.reduce((sum, value, i) => sum + value * direction[i]!, 0);
        assert.ok(Math.abs(own - norm) <= 1e-3 * norm + 1e-7, `${name}: length ${own}, torch ${norm}`);
        // The product with a random vector is as long as the gradient itself, more or less.
        assert.ok(Math.abs(ownProduct - product) <= 2e-3 * norm + 1e-7, `${name}: product ${ownProduct}, torch ${product}, length ${norm}`);
      });
    }).timeout(120_000);
});

describe("the loss against torch, whose reference is written apart from ours", () => {
  Object.entries(golden.loss).forEach(([name, theirs], salt) =>
    it(`is the same, and so are its gradients: ${name}`, () => {
      const anchors = anchorTensors(side, side);
      const count = anchors.count;
      const most = Math.max(1, ...theirs.truth.map(([boxes]) => boxes.length));
      const boxes = theirs.truth.flatMap(([own]) => Array.from({ length: most }, (_, i) => own[i] ?? [0, 0, 0, 0])).flat();
      const classes = theirs.truth.flatMap(([, own]) => Array.from({ length: most }, (_, i) => own[i] ?? -1));
      const made: { parts: Float32Array; box: Float32Array; cls: Float32Array }[] = [];
      tf.tidy(() => {
        const box = tf.tensor3d(
          hashed(2 * count * 64, 100 + salt).map((x) => x * 3),
          [2, count, 64],
        );
        const cls = tf.tensor3d(
          hashed(2 * count * 3, 200 + salt).map((x) => x * 3 - 1),
          [2, count, 3],
        );
        const truth = truthOf({ boxes: tf.tensor3d(boxes, [2, most, 4]), classes: tf.tensor2d(classes, [2, most], "int32") }, 3);
        const { parts, boxGradient, clsGradient } = detectionLoss(box, cls, truth, anchors);
        const read = (tensor: tf.Tensor) => Float32Array.from(tensor.dataSync());
        made.push({ parts: read(parts), box: read(boxGradient), cls: read(clsGradient) });
        parts.dispose();
      });
      const { parts, ...gradients } = made[0]!;
      theirs.parts.forEach((value, i) => assert.ok(Math.abs(parts[i]! - value) <= 1e-4 * Math.abs(value) + 1e-6, `loss ${i}: ${parts[i]}, torch ${value}`));
      for (const [kind, start] of [
        ["box", 300],
        ["cls", 400],
      ] as const) {
        const [norm, product] = theirs[kind];
        const direction = hashed(gradients[kind].length, start + salt);
        const own = Math.sqrt(gradients[kind].reduce((sum, value) => sum + value ** 2, 0));
        const ownProduct = gradients[kind].reduce((sum, value, i) => sum + value * direction[i]!, 0);
        assert.ok(Math.abs(own - norm) <= 1e-3 * norm + 1e-6, `${kind}: length ${own}, torch ${norm}`);
        assert.ok(Math.abs(ownProduct - product) <= 2e-3 * norm + 1e-6, `${kind}: product ${ownProduct}, torch ${product}`);
      }
    }),
  );
});

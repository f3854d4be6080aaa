import assert from "node:assert/strict";
import * as tf from "@tensorflow/tfjs-node";
import * as fc from "fast-check";
import { seededRandom, uniform } from "../src/augment/random.ts";
import type { RawLevel } from "../src/boxes/raw-levels.ts";
import { anchorTensors } from "../src/loss/decode.ts";
import { addHostLoss, lossMeans, type LossSums } from "../src/loss/host-loss.ts";
import { detectionLoss } from "../src/loss/loss.ts";
import { bins, strides } from "../src/nn/model.ts";
import { askedMask } from "../src/train/collate.ts";
import "./instruction-set.ts";

interface Case {
  readonly seed: number;
  readonly width: number;
  readonly height: number;
  readonly classes: number;
  /** The largest side of an object, pixels. */
  readonly size: number;
  /** Objects of each picture. */
  readonly counts: readonly number[];
  /** What was asked on each picture: without it, everything on all of them. */
  readonly asked?: readonly (readonly number[])[];
}

/** Both losses of the same predictions: TensorFlow's, which is held to torch's, and the one in plain loops. */
function bothLosses({ seed, width, height, classes, size, counts, asked }: Case): { tensorflow: number[]; host: number[] } {
  const random = seededRandom(seed);
  const noise = (length: number, low: number, high: number) => Float32Array.from({ length }, () => uniform(random, low, high));
  const pictures = counts.map((count) => ({
    levels: strides.map((stride): RawLevel => {
      const [rows, columns] = [height / stride, width / stride];
      return { box: noise(4 * bins * rows * columns, -2, 2), cls: noise(classes * rows * columns, -6, 2), height: rows, width: columns };
    }),
    objects: Array.from({ length: count }, () => {
      const [w, h] = [uniform(random, 1, size), uniform(random, 1, size)];
      // Some reach over the border.
      const [x, y] = [uniform(random, -w / 2, width - w / 2), uniform(random, -h / 2, height - h / 2)];
      return { cls: Math.floor(random() * classes), box: [x, y, x + w, y + h] as const };
    }),
  }));
  const sums: LossSums = { box: 0, cls: 0, dfl: 0, weight: 0 };
  pictures.forEach(({ levels, objects }, i) => addHostLoss(sums, levels, classes, objects, asked?.[i]));

  const tensorflow = tf.tidy(() => {
    const flat = (channels: number, part: (level: RawLevel) => Float32Array) =>
      tf.stack(
        pictures.map(({ levels }) =>
          tf.concat(
            levels.map((level) => tf.transpose(tf.tensor2d(part(level), [channels, level.height * level.width]))),
            0,
          ),
        ),
      ) as tf.Tensor3D;
    const most = Math.max(1, ...counts);
    const padded = pictures.map(({ objects }) => [
      ...objects,
      ...Array.from({ length: most - objects.length }, () => ({ cls: -1, box: [0, 0, 0, 0] as const })),
    ]);
    const truth = {
      boxes: tf.tensor3d(padded.map((objects) => objects.map(({ box }) => [...box]))),
      classes: tf.tensor3d(padded.map((objects) => objects.map(({ cls }) => Array.from({ length: classes }, (_, c) => Number(c === cls))))),
      present: tf.tensor3d(padded.map((objects) => objects.map(({ cls }) => [Number(cls >= 0)]))),
      ...(asked && { asked: tf.tensor2d(askedMask(asked, classes), [asked.length, classes]) }),
    };
    const { parts } = detectionLoss(
      flat(4 * bins, ({ box }) => box),
      flat(classes, ({ cls }) => cls),
      truth,
      anchorTensors(height, width),
    );
    return [...parts.dataSync()];
  });
  return { tensorflow, host: lossMeans(sums) };
}

function agree(given: Case): void {
  const { tensorflow, host } = bothLosses(given);
  host.forEach((value, i) => {
    const off = Math.abs(value - tensorflow[i]!) / Math.max(1, Math.abs(tensorflow[i]!));
    assert.ok(off < 1e-4, `${JSON.stringify(given)}: ${["box", "cls", "dfl"][i]} ${value}, TensorFlow's ${tensorflow[i]}`);
  });
}

describe("the loss in plain loops", () => {
  it("equals TensorFlow's on pictures without objects, with tiny, large and hundreds of them", () => {
    agree({ seed: 1, width: 64, height: 64, classes: 3, size: 30, counts: [0, 0] });
    agree({ seed: 2, width: 64, height: 96, classes: 2, size: 3, counts: [20, 0, 1] });
    agree({ seed: 3, width: 128, height: 64, classes: 1, size: 120, counts: [4] });
    agree({ seed: 4, width: 96, height: 96, classes: 5, size: 40, counts: [300] });
  }).timeout(60_000);

  it("equals TensorFlow's on any batch", () => {
    const side = fc.integer({ min: 1, max: 4 }).map((n) => n * 32);
    const cases = fc.record({
      seed: fc.integer({ min: 0, max: 1e6 }),
      width: side,
      height: side,
      classes: fc.integer({ min: 1, max: 6 }),
      size: fc.integer({ min: 2, max: 100 }),
      counts: fc.array(fc.integer({ min: 0, max: 12 }), { minLength: 1, maxLength: 3 }),
    });
    fc.assert(fc.property(cases, agree), { numRuns: 40 });
  }).timeout(120_000);

  it("equals TensorFlow's where pictures were asked for some classes, or for none", () => {
    agree({ seed: 5, width: 64, height: 64, classes: 3, size: 40, counts: [0, 6, 6, 6], asked: [[1], [], [0, 2], [0, 1, 2]] });
    const cases = fc
      .record({
        seed: fc.integer({ min: 0, max: 1e6 }),
        classes: fc.integer({ min: 1, max: 6 }),
        counts: fc.array(fc.integer({ min: 0, max: 12 }), { minLength: 1, maxLength: 3 }),
      })
      .chain((made) => {
        const asked = fc.array(fc.subarray(Array.from({ length: made.classes }, (_, cls) => cls)), {
          minLength: made.counts.length,
          maxLength: made.counts.length,
        });
        return asked.map((each): Case => ({ ...made, width: 64, height: 96, size: 60, asked: each }));
      });
    fc.assert(fc.property(cases, agree), { numRuns: 30 });
  }).timeout(120_000);

  it("is bit for bit the same where all classes were asked as where nothing is said", () => {
    const given = { seed: 6, width: 64, height: 64, classes: 3, size: 40, counts: [5, 0] };
    assert.deepEqual(
      bothLosses({
        ...given,
        asked: [
          [2, 0, 1],
          [0, 1, 2],
        ],
      }),
      bothLosses(given),
    );
  });
});

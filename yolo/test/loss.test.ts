import assert from "node:assert/strict";
import * as tf from "@tensorflow/tfjs-node";
import { seededRandom, uniform } from "../src/augment/random.ts";
import { iouOf } from "../src/boxes/boxes.ts";
import { assign } from "../src/loss/assign.ts";
import { completeIou } from "../src/loss/ciou.ts";
import { anchorTensors } from "../src/loss/decode.ts";
import { detectionLoss } from "../src/loss/loss.ts";
import { bins } from "../src/nn/model.ts";
import "./instruction-set.ts";

type Box = [number, number, number, number];

/** CIoU in plain numbers, from arXiv 1911.08287, eq. 9–11. */
function ciouByHand(a: Box, b: Box): number {
  const iou = iouOf(a, b);
  const centre = ((a[0] + a[2] - b[0] - b[2]) / 2) ** 2 + ((a[1] + a[3] - b[1] - b[3]) / 2) ** 2;
  const hull = (Math.max(a[2], b[2]) - Math.min(a[0], b[0])) ** 2 + (Math.max(a[3], b[3]) - Math.min(a[1], b[1])) ** 2;
  const v = (4 / Math.PI ** 2) * (Math.atan((b[2] - b[0]) / (b[3] - b[1])) - Math.atan((a[2] - a[0]) / (a[3] - a[1]))) ** 2;
  return iou - centre / hull - (v === 0 ? 0 : (v * v) / (1 - iou + v));
}

/** Task-aligned assignment as loops over anchors and objects, straight from the TOOD paper's text. */
function assignByHand(scores: number[][], boxes: Box[], centres: [number, number][], truth: { box: Box; cls: number }[]): { owner: number; score: number }[] {
  const fits = truth.map(({ box, cls }) =>
    centres.map(([x, y], a) => {
      const inside = x - box[0] > 1e-9 && y - box[1] > 1e-9 && box[2] - x > 1e-9 && box[3] - y > 1e-9;
      const overlap = inside ? Math.max(0, ciouByHand(box, boxes[a]!)) : 0;
      return { a, overlap, fit: inside ? scores[a]![cls]! ** 0.5 * overlap ** 6 : 0 };
    }),
  );
  const wanted = fits.map(
    (row) =>
      new Set(
        row
          .toSorted((p, q) => q.fit - p.fit)
          .slice(0, 10)
          .filter(({ fit }) => fit > 0)
          .map(({ a }) => a),
      ),
  );
  const owner = centres.map((_, a) => {
    const rivals = truth.map((_t, o) => o).filter((o) => wanted[o]!.has(a));
    return rivals.toSorted((p, q) => fits[q]![a]!.overlap - fits[p]![a]!.overlap)[0] ?? -1;
  });
  return centres.map((_, a) => {
    const o = owner[a]!;
    if (o < 0) return { owner: -1, score: 0 };
    const own = fits[o]!.filter((entry) => owner[entry.a] === o);
    const bestFit = Math.max(...own.map(({ fit }) => fit));
    const bestOverlap = Math.max(...own.map(({ overlap }) => overlap));
    return { owner: o, score: (fits[o]![a]!.fit * bestOverlap) / (bestFit + 1e-9) };
  });
}

describe("CIoU", () => {
  it("agrees with the paper's formula in plain numbers", () => {
    const random = seededRandom(3);
    const box = (): Box => {
      const [x, y] = [uniform(random, 0, 50), uniform(random, 0, 50)];
      return [x, y, x + uniform(random, 1, 60), y + uniform(random, 1, 60)];
    };
    for (let i = 0; i < 200; i++) {
      const [a, b] = [box(), box()];
      const ours = tf.tidy(() => completeIou(tf.tensor2d([a]), tf.tensor2d([b])).ciou.dataSync()[0]!);
      assert.ok(Math.abs(ours - ciouByHand(a, b)) < 1e-4, `${a} and ${b}: ${ours}, by hand ${ciouByHand(a, b)}`);
    }
  });
});

describe("task-aligned assignment", () => {
  it("gives each anchor the object and score that loops over the paper's rule give", () => {
    const random = seededRandom(11);
    const anchors = anchorTensors(64, 64);
    const centres = anchors.centres.arraySync() as [number, number][];
    for (let round = 0; round < 12; round++) {
      const truth = Array.from({ length: 1 + Math.floor(random() * 5) }, () => {
        const [x, y] = [uniform(random, 0, 40), uniform(random, 0, 40)];
        return { box: [x, y, x + uniform(random, 4, 30), y + uniform(random, 4, 30)] as Box, cls: Math.floor(random() * 3) };
      });
      const boxes = centres.map(([x, y]): Box => [
        x - uniform(random, 1, 16),
        y - uniform(random, 1, 16),
        x + uniform(random, 1, 16),
        y + uniform(random, 1, 16),
      ]);
      const scores = centres.map(() => [random(), random(), random()]);
      const expected = assignByHand(scores, boxes, centres, truth);
      const padded = [...truth, { box: [0, 0, 0, 0] as Box, cls: -1 }];
      const targets = assign(tf.tensor3d([scores]), tf.tensor3d([boxes]), anchors.centres, {
        boxes: tf.tensor3d([padded.map(({ box }) => box)]),
        classes: tf.tensor3d([padded.map(({ cls }) => [0, 1, 2].map((c) => Number(c === cls)))]),
        present: tf.tensor3d([padded.map(({ cls }) => [Number(cls >= 0)])]),
      });
      const [gotScores, gotBoxes] = [targets.scores.arraySync()[0]!, targets.boxes.arraySync()[0]!];
      expected.forEach(({ owner, score }, a) => {
        const row = [0, 1, 2].map((c) => (owner >= 0 && truth[owner]!.cls === c ? score : 0));
        row.forEach((value, c) => assert.ok(Math.abs(gotScores[a]![c]! - value) < 1e-4, `round ${round}, anchor ${a}: ${gotScores[a]}, by hand ${row}`));
        if (owner >= 0) truth[owner]!.box.forEach((value, k) => assert.ok(Math.abs(gotBoxes[a]![k]! - value) < 1e-3));
      });
    }
  });

  it("assigns nothing in a batch without objects", () => {
    const anchors = anchorTensors(32, 32);
    const none = {
      boxes: tf.zeros<tf.Rank.R3>([1, 1, 4]) as tf.Tensor3D,
      classes: tf.zeros<tf.Rank.R3>([1, 1, 2]) as tf.Tensor3D,
      present: tf.zeros<tf.Rank.R3>([1, 1, 1]) as tf.Tensor3D,
    };
    const targets = assign(tf.fill([1, anchors.count, 2], 0.5), tf.zeros([1, anchors.count, 4]), anchors.centres, none);
    assert.equal(tf.sum(targets.scores).dataSync()[0], 0);
  });
});

describe("detection loss where not all classes were asked", () => {
  const anchors = anchorTensors(32, 32); // 16 + 4 + 1 cells
  /** The first cell of the finest level predicts exactly the object's box, 3 px to each side of (4, 4): 0.625 of bin 0 and 0.375 of bin 1. */
  const own = 0;
  const box = tf.buffer([1, anchors.count, 4 * bins]);
  for (let k = 0; k < 4; k++) for (let bin = 0; bin < bins; bin++) box.set([Math.log(0.625), Math.log(0.375)][bin] ?? -100, 0, own, k * bins + bin);
  /** Logits of classes 0, 1 and 2, the same in all cells. */
  const logits = [-2, 1, -1] as const;
  const cls = tf.tile(tf.tensor3d([[[...logits]]]), [1, anchors.count, 1]) as tf.Tensor3D;
  /** One object, of class 1, around the centre of that cell alone: the only cell that it can take. */
  const object = { boxes: tf.tensor3d([[[1, 1, 7, 7]]]), classes: tf.tensor3d([[[0, 1, 0]]]), present: tf.tensor3d([[[1]]]) };
  const run = (asked?: readonly number[]) => {
    const truth = { ...object, ...(asked && { asked: tf.tensor2d([[0, 1, 2].map((c) => Number(asked.includes(c)))]) }) };
    return tf.tidy(() => {
      const { parts, boxGradient, clsGradient } = detectionLoss(box.toTensor() as tf.Tensor3D, cls, truth, anchors);
      return { parts: [...parts.dataSync()], box: boxGradient.dataSync(), cls: clsGradient.arraySync()[0]! };
    });
  };
  const softplus = (x: number) => Math.log1p(Math.exp(x));
  const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));

  // By hand: the cell fits the object wholly, so that its target is 1 and so is the sum of all targets. The BCE is log(1 + e^x)
  // in each cell that counts, less x in the cell of the object.
  it("is, by hand, the BCE of the asked classes, and of another one in the cells of its objects", () => {
    const of = (...classes: number[]) => classes.reduce((sum, c) => sum + anchors.count * softplus(logits[c]!), 0);
    const cases: [readonly number[] | undefined, number][] = [
      [undefined, of(0, 1, 2) - logits[1]],
      [[0, 1, 2], of(0, 1, 2) - logits[1]],
      [[0, 1], of(0, 1) - logits[1]],
      // The object counts all the same, and only where it is.
      [[0], of(0) + softplus(logits[1]) - logits[1]],
      [[], softplus(logits[1]) - logits[1]],
    ];
    const dfl = -(0.625 * Math.log(0.625) + 0.375 * Math.log(0.375));
    for (const [asked, expected] of cases) {
      const { parts } = run(asked);
      [0, expected, dfl].forEach((value, k) => assert.ok(Math.abs(parts[k]! - value) < 1e-4, `asked ${asked}: loss ${k} is ${parts[k]}, by hand ${value}`));
    }
  });

  it("has no gradient at all where nobody was asked, and the same as ever elsewhere", () => {
    const [all, some] = [run(), run([0])];
    assert.deepEqual(some.box, all.box);
    some.cls.forEach((row, cell) => {
      assert.equal(row[0], all.cls[cell]![0]);
      // 0.5 is the weight of the BCE; the target is 1 in the object's cell.
      if (cell === own) assert.ok(Math.abs(row[1]! - 0.5 * (sigmoid(logits[1]) - 1)) < 1e-5);
      else assert.ok(row[1] === 0, `cell ${cell}, class 1: ${row[1]}`);
      assert.ok(row[2] === 0, `cell ${cell}, class 2: ${row[2]}`);
      assert.ok(all.cls[cell]![2]! > 0);
    });
  });

  it("is bit for bit the same where all were asked as where nothing is said", () => {
    assert.deepEqual(run([0, 1, 2]), run());
  });
});

describe("detection loss", () => {
  const anchors = anchorTensors(32, 32);
  const truth = {
    boxes: tf.tensor3d([[[4, 4, 28, 24]]]),
    classes: tf.tensor3d([[[0, 1]]]),
    present: tf.tensor3d([[[1]]]),
  };

  it("is the BCE of the background alone, by hand, in a picture without objects", () => {
    const empty = { ...truth, present: tf.zeros<tf.Rank.R3>([1, 1, 1]), classes: tf.zeros<tf.Rank.R3>([1, 1, 2]) };
    const parts = tf.tidy(() => detectionLoss(tf.zeros([1, anchors.count, 4 * bins]), tf.fill([1, anchors.count, 2], -2), empty, anchors).parts.dataSync());
    // No target scores: the sum is divided by 1. log(1 + e^-2) for each anchor and class.
    assert.ok(Math.abs(parts[1]! - anchors.count * 2 * Math.log1p(Math.exp(-2))) < 1e-3);
    assert.deepEqual([parts[0], parts[2]], [0, 0]);
  });

  it("has the class gradients that finite differences give, where the assignment does not change", () => {
    const random = seededRandom(5);
    const noise = (length: number) => Float32Array.from({ length }, () => uniform(random, -1, 1));
    const box = noise(anchors.count * 4 * bins);
    const cls = noise(anchors.count * 2);
    const shape = { box: [1, anchors.count, 4 * bins] as [number, number, number], cls: [1, anchors.count, 2] as [number, number, number] };
    const run = (b: Float32Array, c: Float32Array) =>
      tf.tidy(() => {
        const { parts, boxGradient, clsGradient } = detectionLoss(tf.tensor3d(b, shape.box), tf.tensor3d(c, shape.cls), truth, anchors);
        const [p0, p1, p2] = parts.dataSync() as unknown as [number, number, number];
        return { total: 7.5 * p0 + 0.5 * p1 + 1.5 * p2, box: boxGradient.dataSync(), cls: clsGradient.dataSync() };
      });
    const at = run(box, cls);
    // Changing a score changes the assignment's targets a little too, which the gradient leaves out on purpose: so only the
    // box side of anchors without an object, whose gradient is 0, and a directional check on class logits of the background.
    const step = 1e-2;
    const background = [...at.cls.keys()].filter((i) => i % 2 === 0).slice(0, 5);
    for (const i of background) {
      const [up, down] = [Float32Array.from(cls), Float32Array.from(cls)];
      up[i]! += step;
      down[i]! -= step;
      const numeric = (run(box, up).total - run(box, down).total) / (2 * step);
      assert.ok(Math.abs(numeric - at.cls[i]!) < 2e-2 * Math.max(1, Math.abs(numeric)), `logit ${i}: ${at.cls[i]}, numerically ${numeric}`);
    }
  });
});

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import fc from "fast-check";
import { type BoxXyxy, fromYolo, iouOf, toYolo } from "../src/boxes/boxes.ts";
import { seededRandom } from "../src/augment/random.ts";
import { applyLetterbox, letterbox, rectangle, square, undoLetterbox } from "../src/boxes/letterbox.ts";
import { detectionsOf, suppress } from "../src/boxes/nms.ts";

describe("boxes", () => {
  it("IoU by hand: 10×10 and 10×10 shifted by 5 share 50 of 150", () => {
    assert.equal(iouOf([0, 0, 10, 10], [5, 0, 15, 10]), 50 / 150);
    assert.equal(iouOf([0, 0, 10, 10], [10, 0, 20, 10]), 0);
    assert.equal(iouOf([0, 0, 0, 0], [0, 0, 0, 0]), 0);
  });

  it("YOLO coordinates by hand: x 10…30 of 100 is centre 0.2, width 0.2", () => {
    assert.deepEqual(toYolo([10, 20, 30, 60], 100, 80), [0.2, 0.5, 0.2, 0.5]);
    fromYolo([0.2, 0.5, 0.2, 0.5], 100, 80).forEach((value, i) => assert.ok(Math.abs(value - [10, 20, 30, 60][i]!) < 1e-9));
  });
});

describe("letterbox", () => {
  it("by hand: 1280×960 in 640 is 640×480 with 80 px above", () => {
    assert.deepEqual(letterbox(1280, 960, 640), { scale: 0.5, left: 0, top: 80, width: 640, height: 480 });
  });

  it("by hand: the smallest rectangle and the square of the same pictures", () => {
    const at = { scale: 0.5, left: 0, top: 0, width: 640, height: 480 };
    assert.deepEqual(rectangle(1280, 960, 640, 32), { at, width: 640, height: 480 });
    assert.deepEqual(square(1280, 960, 640, 640), { at: { ...at, top: 80 }, width: 640, height: 640 });
    // 500 × 300 at 100: 100 × 60 in 128 × 64; in a square that may only be 64, 64 × 38.
    assert.deepEqual(rectangle(500, 300, 100, 32), { at: { scale: 0.2, left: 14, top: 2, width: 100, height: 60 }, width: 128, height: 64 });
    assert.deepEqual(square(500, 300, 100, 64), { at: { scale: 0.128, left: 0, top: 13, width: 64, height: 38 }, width: 64, height: 64 });
  });

  it("is undone to the pixel's fraction for any picture and box (property)", () => {
    const side = fc.integer({ min: 1, max: 8000 });
    fc.assert(
      fc.property(side, side, fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { minLength: 4, maxLength: 4 }), (width, height, shares) => {
        const box: BoxXyxy = [shares[0]! * width, shares[1]! * height, shares[2]! * width, shares[3]! * height];
        const at = letterbox(width, height, 640);
        const back = undoLetterbox(applyLetterbox(box, at, width, height), at, width, height);
        back.forEach((value, i) => assert.ok(Math.abs(value - box[i]!) < 1e-6 * Math.max(width, height)));
      }),
    );
  });
});

describe("NMS", () => {
  const found = (x: number, score: number, cls = 0) => ({ box: [x, 0, x + 10, 10] as BoxXyxy, score, cls });

  it("keeps the surest of overlapping boxes of one class, and all of other classes", () => {
    const kept = suppress([found(0, 0.5), found(1, 0.9), found(1, 0.4, 1), found(30, 0.3)], { maxIou: 0.5, maxDetections: 10 });
    assert.deepEqual(
      kept.map(({ score }) => score),
      [0.9, 0.4, 0.3],
    );
  });

  it("keeps what torchvision's batched_nms keeps, in its order, thresholds met exactly and empty boxes included", () => {
    const golden = JSON.parse(readFileSync(new URL("golden/nms.json", import.meta.url), "utf8")) as {
      readonly boxes: readonly BoxXyxy[];
      readonly scores: readonly number[];
      readonly classes: readonly number[];
      readonly threshold: number;
      readonly kept: readonly number[];
    }[];
    assert.equal(golden.length, 24);
    for (const [i, { boxes, scores, classes, threshold, kept }] of golden.entries()) {
      const candidates = boxes.map((box, n) => ({ box, score: scores[n]!, cls: classes[n]! }));
      const ours = suppress(candidates, { maxIou: threshold, maxDetections: 1000 });
      assert.deepEqual(
        ours.map((one) => candidates.indexOf(one)),
        kept,
        `case ${i}`,
      );
    }
  });

  it("leaves no two boxes of a class above the threshold, and drops none without cause (property)", () => {
    const candidate = fc.record({
      x: fc.integer({ min: 0, max: 60 }),
      score: fc.double({ min: 0.01, max: 1, noNaN: true }),
      cls: fc.integer({ min: 0, max: 2 }),
    });
    fc.assert(
      fc.property(fc.array(candidate, { maxLength: 40 }), (list) => {
        const all = list.map(({ x, score, cls }) => found(x, score, cls));
        const kept = suppress(all, { maxIou: 0.5, maxDetections: 1000 });
        for (const a of kept) for (const b of kept) assert.ok(a === b || a.cls !== b.cls || iouOf(a.box, b.box) <= 0.5);
        for (const dropped of all.filter((one) => !kept.includes(one)))
          assert.ok(kept.some((one) => one.cls === dropped.cls && one.score >= dropped.score && iouOf(one.box, dropped.box) > 0.5));
      }),
    );
  });

  it("compares the surest of a great many, and drops only less sure ones", () => {
    const random = seededRandom(3);
    const anchors = 5000;
    const output = new Float32Array(5 * anchors);
    for (let a = 0; a < anchors; a++) {
      // None overlaps another, so that all that are compared are kept.
      output[a] = a * 20;
      output[anchors + a] = 5;
      output[2 * anchors + a] = 10;
      output[3 * anchors + a] = 10;
      output[4 * anchors + a] = random();
    }
    const kept = detectionsOf(output, 1, { minScore: 0, maxIou: 0.5, maxDetections: 10_000 });
    const expected = [...output.subarray(4 * anchors)].toSorted((a, b) => b - a).slice(0, 3000);
    assert.deepEqual(
      kept.map(({ score }) => score),
      expected,
    );
  });

  it("keeps only the classes that are asked for", () => {
    // One anchor, three classes.
    const output = Float32Array.of(5, 5, 10, 10, 0.9, 0.8, 0.7);
    const kept = detectionsOf(output, 3, { minScore: 0.1, maxIou: 0.5, maxDetections: 9, classes: [0, 2] });
    assert.deepEqual(
      kept.map(({ cls }) => cls),
      [0, 2],
    );
  });

  it("reads rows of cx, cy, w, h and scores", () => {
    // Two anchors, one class: the second is below the threshold.
    const output = Float32Array.of(50, 9, 40, 9, 20, 9, 10, 9, 0.75, 0.01);
    assert.deepEqual(detectionsOf(output, 1, { minScore: 0.5, maxIou: 0.5, maxDetections: 10 }), [{ box: [40, 35, 60, 45], score: 0.75, cls: 0 }]);
  });
});

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { type Evaluated, evaluate } from "../src/metrics/average-precision.ts";

interface Golden {
  readonly pictures: Evaluated[];
  readonly classes: number;
  readonly ap: number;
  readonly ap50: number;
}

describe("COCO metrics", () => {
  // pycocotools' own figures for random detections; test/golden/make_coco_golden.py made them.
  const cases = JSON.parse(readFileSync(new URL("golden/coco-metrics.json", import.meta.url), "utf8")) as Golden[];

  it("agree with pycocotools to 1e-6 on random detections", () => {
    assert.ok(cases.length >= 20);
    for (const [i, golden] of cases.entries()) {
      const { map, map50 } = evaluate(golden.pictures, golden.classes);
      assert.ok(Math.abs(map - golden.ap) < 1e-6, `case ${i}: mAP50-95 ${map}, pycocotools ${golden.ap}`);
      assert.ok(Math.abs(map50 - golden.ap50) < 1e-6, `case ${i}: mAP50 ${map50}, pycocotools ${golden.ap50}`);
    }
  });

  it("by hand: one of two objects found by the surer of two detections", () => {
    const picture: Evaluated = {
      objects: [
        { box: [0, 0, 10, 10], cls: 0 },
        { box: [50, 50, 60, 60], cls: 0 },
      ],
      detections: [
        { box: [0, 0, 10, 10], score: 0.9, cls: 0 },
        { box: [80, 80, 90, 90], score: 0.8, cls: 0 },
      ],
    };
    const { map50, precision, recall } = evaluate([picture], 1);
    // Precision 1 up to recall 0.5: 51 of the 101 points.
    assert.ok(Math.abs(map50 - 51 / 101) < 1e-12);
    assert.deepEqual([precision, recall], [1, 0.5]);
  });

  it("are 0 without detections, and leave out classes without objects", () => {
    const { map50, classes } = evaluate([{ objects: [{ box: [0, 0, 5, 5], cls: 1 }], detections: [] }], 3);
    assert.equal(map50, 0);
    assert.deepEqual(
      classes.map(({ cls }) => cls),
      [1],
    );
  });
});

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { type Evaluated, evaluate } from "../src/metrics/average-precision.ts";

interface Golden {
  readonly pictures: Evaluated[];
  readonly classes: number;
  readonly ap: number;
  readonly ap50: number;
  /** Means over the classes of precision, recall and F1 at the confidence with the class's best F1. */
  readonly precision: number;
  readonly recall: number;
  readonly f1: number;
}

describe("COCO metrics", () => {
  // pycocotools' own figures; test/golden/make_coco_golden.py made them.
  const cases = JSON.parse(readFileSync(new URL("golden/coco-metrics.json", import.meta.url), "utf8")) as Golden[];

  it("agree with pycocotools to 1e-6 on random detections, and on those that implementations differ in", () => {
    assert.equal(cases.length, 30 + 11);
    for (const [i, golden] of cases.entries()) {
      const { map: ap, map50: ap50, precision, recall, classes } = evaluate(golden.pictures, golden.classes);
      const f1s = classes.map((each) => (2 * each.precision * each.recall) / Math.max(each.precision + each.recall, 1e-300));
      const f1 = f1s.reduce((sum, value) => sum + value, 0) / Math.max(f1s.length, 1);
      for (const [name, value] of Object.entries({ ap, ap50, precision, recall, f1 }))
        assert.ok(Math.abs(value - golden[name as "ap"]) < 1e-6, `case ${i}: ${name} ${value}, pycocotools ${golden[name as "ap"]}`);
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

  it("leave out detections of a class on pictures where nobody was asked for it and none is, as counted by hand", () => {
    const car = { box: [0, 0, 10, 10] as const, cls: 0 };
    const hit = { ...car, score: 0.5 };
    const alarm = (cls: number) => ({ box: [50, 50, 60, 60] as const, score: 0.9, cls });
    // Asked for trucks alone: cars are unknown here, and a truck that is not there is a false alarm.
    const trucks: Evaluated = { objects: [], asked: [1], detections: [alarm(0), alarm(1)] };
    const cars: Evaluated = { objects: [car], asked: [0], detections: [hit] };
    const [own] = evaluate([cars, trucks], 2).classes;
    assert.deepEqual([own!.objects, own!.precision, own!.recall, own!.ap50], [1, 1, 1, 1]);
    // Had all been asked, the surest car would be wrong: one of two is right.
    const [unlimited] = evaluate([cars, { ...trucks, asked: undefined }], 2).classes;
    assert.deepEqual([unlimited!.precision, unlimited!.recall, unlimited!.ap50], [0.5, 1, 0.5]);
    // A picture that has a car tells of cars, whatever was asked.
    const [there] = evaluate([{ ...trucks, objects: [car], detections: [hit, alarm(0)] }], 2).classes;
    assert.deepEqual([there!.precision, there!.recall, there!.ap50], [0.5, 1, 0.5]);
    const truck = { box: [0, 0, 10, 10] as const, cls: 1 };
    const both = evaluate([cars, trucks, { objects: [truck], asked: [1], detections: [{ ...truck, score: 0.5 }] }], 2);
    assert.deepEqual(
      both.classes.map(({ cls, ap50 }) => [cls, ap50]),
      [
        [0, 1],
        [1, 0.5],
      ],
    );
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

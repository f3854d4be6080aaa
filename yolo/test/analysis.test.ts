import assert from "node:assert/strict";
import { analyse, confidences, confusionMatrix } from "../src/metrics/analysis.ts";

const box = (x: number) => [x, 0, x + 10, 10] as const;

// One picture: two circles and a square. The model finds the first circle, takes the second for a square, misses the square,
// and sees a circle where there is nothing.
const picture = {
  objects: [
    { cls: 0, box: box(0) },
    { cls: 0, box: box(100) },
    { cls: 1, box: box(200) },
  ],
  detections: [
    { cls: 0, score: 0.9, box: box(0) },
    { cls: 1, score: 0.6, box: box(100) },
    { cls: 0, score: 0.5, box: box(300) },
    { cls: 0, score: 0.1, box: box(200) },
  ],
};

describe("the confusion matrix", () => {
  it("counts hits, mix-ups, misses and false alarms as counted by hand", () => {
    // Rows: predicted circle, square, background. Columns: true circle, square, background.
    assert.deepEqual(confusionMatrix([picture], 2), [
      [1, 0, 1],
      [1, 0, 0],
      [0, 1, 0],
    ]);
  });

  it("leaves out what is said of a class that nobody was asked about, unless the picture has one", () => {
    // Asked for squares; there are circles as well, so that both count: as above.
    assert.deepEqual(confusionMatrix([{ ...picture, asked: [1] }], 2), confusionMatrix([picture], 2));
    // Without its circles nothing said of circles counts, and the square that was taken for something else is a false alarm.
    assert.deepEqual(confusionMatrix([{ ...picture, objects: picture.objects.slice(2), asked: [1] }], 2), [
      [0, 0, 0],
      [0, 0, 1],
      [0, 1, 0],
    ]);
  });

  it("gives an object to the detection that overlaps it most, once", () => {
    const two = { objects: [{ cls: 0, box: box(0) }], detections: [1, 2].map((x) => ({ cls: 0, score: 0.9, box: box(x) })) };
    assert.deepEqual(confusionMatrix([two], 1), [
      [1, 1],
      [0, 0],
    ]);
  });
});

describe("the curves", () => {
  it("are those of a count by hand", () => {
    const { curves } = analyse([picture], 2);
    const circle = curves.find(({ cls }) => cls === 0)!;
    const at = (confidence: number) => confidences.indexOf(confidence);
    // Above 0.9 nothing is said; from 0.9 one of one is right, from 0.5 one of two; one of two circles is found.
    assert.deepEqual([circle.precision[at(0.95)], circle.recall[at(0.95)]], [1, 0]);
    assert.deepEqual([circle.precision[at(0.7)], circle.recall[at(0.7)], circle.f1[at(0.7)]], [1, 0.5, 2 / 3]);
    assert.deepEqual([circle.precision[at(0.3)], circle.recall[at(0.3)], circle.f1[at(0.3)]], [0.5, 0.5, 0.5]);
    assert.deepEqual([circle.precisionAtRecall[at(0.5)], circle.precisionAtRecall[at(0.51)]], [1, 0]);
  });
});

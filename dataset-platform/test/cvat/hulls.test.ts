import assert from "node:assert/strict";
import { hullOf, toShares } from "@airloom/dataset-platform/cvat/hulls.ts";

const shape = (type: string, points: readonly number[], rotation = 0) => ({ type, points, rotation });
const rounded = (type: string, points: readonly number[], rotation = 0) =>
  hullOf(shape(type, points, rotation))?.map((value) => Math.round(value * 1000) / 1000);

describe("the hull of a CVAT shape", () => {
  it("is a rectangle's own sides, and what a turned one covers", () => {
    assert.deepEqual(rounded("rectangle", [10, 20, 30, 60]), [10, 20, 30, 60]);
    // A quarter turn about (20, 40) swaps 20 × 40 for 40 × 20.
    assert.deepEqual(rounded("rectangle", [10, 20, 30, 60], 90), [0, 30, 40, 50]);
    // A square of side 20 turned by 45° has a diagonal of 20√2.
    assert.deepEqual(rounded("rectangle", [-10, -10, 10, 10], 45), [-14.142, -14.142, 14.142, 14.142]);
  });

  it("holds an ellipse of CVAT's form, centre, rightmost x, topmost y", () => {
    assert.deepEqual(rounded("ellipse", [50, 40, 80, 30]), [20, 30, 80, 50]);
    assert.deepEqual(rounded("ellipse", [50, 40, 80, 30], 90), [40, 10, 60, 70]);
    // A circle is the same however it is turned.
    assert.deepEqual(rounded("ellipse", [50, 40, 60, 30], 33), [40, 30, 60, 50]);
  });

  it("holds polygons, cuboids and masks", () => {
    assert.deepEqual(rounded("polygon", [1, 1, 20, 5, 7, 30]), [1, 1, 20, 30]);
    assert.deepEqual(rounded("cuboid", [1, 1, 1, 9, 5, 1, 5, 9, 8, 0, 8, 8, 4, 0, 4, 8]), [1, 0, 8, 9]);
    // Run lengths, then left, top, right, bottom, all inclusive: one row of 3 pixels.
    assert.deepEqual(rounded("mask", [0, 3, 10, 20, 12, 20]), [10, 20, 13, 21]);
  });

  it("holds a skeleton's points that are there", () => {
    const point = (x: number, y: number, outside = false) => ({ points: [x, y], outside });
    const skeleton = { type: "skeleton", points: [], rotation: 0 };
    assert.deepEqual(hullOf({ ...skeleton, elements: [point(10, 20), point(40, 5), point(15, 30), point(90, 90, true)] }), [10, 5, 40, 30]);
    assert.equal(hullOf({ ...skeleton, elements: [point(10, 20), point(40, 5, true)] }), undefined);
  });

  it("is none for what bounds no object", () => {
    for (const type of ["polyline", "points", "skeleton", "something new"]) assert.equal(hullOf(shape(type, [1, 1, 20, 20])), undefined, type);
  });

  it("is clipped to the picture, and nothing where less than a pixel is left", () => {
    assert.deepEqual(toShares([-10, 10, 30, 50], { width: 100, height: 50 }), [0.15, 0.6, 0.3, 0.8]);
    assert.equal(toShares([200, 10, 230, 50], { width: 100, height: 50 }), undefined);
    assert.equal(toShares([10, 10, 10.5, 50], { width: 100, height: 50 }), undefined);
    assert.equal(toShares([Number.NaN, 10, 20, 50], { width: 100, height: 50 }), undefined);
  });
});

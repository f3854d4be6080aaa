import assert from "node:assert/strict";
import type { CvatAnnotations, CvatFrame, CvatJob, CvatLabel } from "@airloom/dataset-platform/cvat/client.ts";
import { understand } from "@airloom/dataset-platform/cvat/finished-task.ts";

const frame = (n: number, deleted = false): CvatFrame => ({ name: `${n}.png`, width: 100, height: 50, deleted });
const label = (id: number, name: string, type = "any"): CvatLabel => ({ id, name, type });
const job = (id: number, start: number, stop: number, username?: string, type = "annotation"): CvatJob => ({
  id,
  stage: "acceptance",
  state: "completed",
  type,
  assignee: username ? { username } : null,
  start_frame: start,
  stop_frame: stop,
});
const shape = (frameNumber: number, type: string, points: number[], label_id = 1, source = "manual"): CvatAnnotations["shapes"][number] => ({
  type,
  frame: frameNumber,
  label_id,
  points,
  rotation: 0,
  source,
  elements: [],
});
const labels = [label(1, "car"), label(2, "truck ")];
const read = (annotations: Partial<CvatAnnotations>, count = 3, more: Partial<Parameters<typeof understand>[0]> = {}) =>
  understand({
    taskId: 7,
    frames: Array.from({ length: count }, (_, n) => frame(n)),
    annotations: { shapes: [], tracks: [], tags: [], ...annotations },
    labels,
    jobs: [job(1, 0, count - 1)],
    ...more,
  });
const kinds = (task: ReturnType<typeof read>) => task.frames.map(({ kind }) => kind);
const whyOf = (task: ReturnType<typeof read>, n: number) => {
  const found = task.frames[n]!;
  return found.kind === "annotated" ? undefined : found.why;
};

describe("a finished CVAT task", () => {
  it("gives each frame its boxes, by class name, and says how each came about", () => {
    const task = read({
      shapes: [
        shape(0, "rectangle", [10, 10, 30, 30]),
        shape(0, "polygon", [0, 0, 50, 0, 50, 25], 2, "auto"),
        shape(2, "mask", [0, 9, 10, 10, 19, 19], 1, "semi-auto"),
      ],
    });
    assert.deepEqual(task.labels, ["car", "truck"]);
    assert.deepEqual(
      task.frames.map((each) => each.kind === "annotated" && each.boxes.map(({ label: name, how, xywh }) => [name, how, ...xywh])),
      [
        [
          ["car", "drawn", 0.2, 0.4, 0.2, 0.4],
          ["truck", "proposed", 0.25, 0.25, 0.5, 0.5],
        ],
        [],
        [["car", "mended", 0.15, 0.3, 0.1, 0.2]],
      ],
    );
  });

  it("leaves out frames that were deleted, boxes and all, and says who did", () => {
    const task = read({ shapes: [shape(1, "rectangle", [10, 10, 30, 30])] }, 3, { frames: [frame(0), frame(1, true), frame(2)], jobs: [job(4, 0, 2, "anna")] });
    assert.deepEqual(kinds(task), ["annotated", "deleted", "annotated"]);
    assert.equal(whyOf(task, 1), "deleted in CVAT task 7 by anna, frame 1");
  });

  for (const type of ["polyline", "points", "skeleton"])
    it(`makes no negative of a picture that holds a ${type}, nor keeps half of its objects`, () => {
      const task = read({ shapes: [shape(0, "rectangle", [10, 10, 30, 30]), shape(0, type, [1, 1, 20, 20]), shape(1, type, [1, 1, 20, 20])] });
      assert.deepEqual(kinds(task), ["unusable", "unusable", "annotated"]);
      assert.equal(whyOf(task, 1), `frame 1 of CVAT task 7 holds a ${type} "car", which cannot be made a box`);
    });

  it("makes no negative of a picture with a box of no size, or of a label that is not the task's", () => {
    const task = read({ shapes: [shape(0, "rectangle", [10, 10, 10.2, 30]), shape(1, "rectangle", [10, 10, 30, 30], 99)] });
    assert.deepEqual(kinds(task), ["unusable", "unusable", "annotated"]);
  });

  describe("tracks", () => {
    const key = (n: number, points: readonly number[], more: object = {}) => ({ frame: n, type: "rectangle", points, rotation: 0, outside: false, ...more });
    const track = (...shapes: ReturnType<typeof key>[]) => ({ frame: shapes[0]!.frame, label_id: 1, source: "manual", shapes });
    const boxesOf = (task: ReturnType<typeof read>) => task.frames.map((each) => (each.kind === "annotated" ? each.boxes.map(({ xywh }) => xywh) : each.kind));

    it("give each of their frames a box: straight between key frames, by hand, and none once the object is outside", () => {
      // Frames of 100 by 50 pixels. The left edge goes 10, 20, 30, 40; on frame 4 the object is outside.
      const task = read({ tracks: [track(key(1, [10, 10, 30, 30]), key(4, [40, 10, 60, 30], { outside: true }))] }, 6);
      assert.deepEqual(boxesOf(task), [[], [[0.2, 0.4, 0.2, 0.4]], [[0.3, 0.4, 0.2, 0.4]], [[0.4, 0.4, 0.2, 0.4]], [], []]);
      assert.deepEqual(task.frames[2]!.kind === "annotated" && task.frames[2]!.boxes[0]!.label, "car");
    });

    it("stay as they were last until their job ends", () => {
      const task = read({ tracks: [track(key(1, [10, 10, 30, 30]))] }, 6, { jobs: [job(1, 0, 2), job(2, 3, 5)] });
      assert.deepEqual(boxesOf(task), [[], [[0.2, 0.4, 0.2, 0.4]], [[0.2, 0.4, 0.2, 0.4]], [], [], []]);
    });

    it("turn the shorter way round", () => {
      // From 350 to 10 degrees: upright half-way, where the longer way would be at 180, the same; a quarter tells: 355 degrees.
      const square = [40, 15, 60, 35];
      const task = read({ tracks: [track(key(0, square, { rotation: 350 }), key(4, square, { rotation: 10 }))] }, 5);
      const [, quarter, half] = boxesOf(task) as unknown as number[][][];
      const side = 20 * (Math.cos((5 * Math.PI) / 180) + Math.sin((5 * Math.PI) / 180));
      assert.ok(Math.abs(quarter![0]![2]! - side / 100) < 1e-9);
      assert.deepEqual(half, [[0.5, 0.5, 0.2, 0.4]]);
    });

    it("make no negative of a frame that lies between two shapes in a way that only CVAT knows", () => {
      const triangle = (n: number) => key(n, [10, 10, 30, 10, 20, 30], { type: "polygon" });
      const task = read({ tracks: [track(triangle(1), triangle(4))] }, 6);
      assert.deepEqual(kinds(task), ["annotated", "annotated", "unusable", "unusable", "annotated", "annotated"]);
      assert.match(whyOf(task, 2)!, /a track "car" between two key frames: draw single boxes in its place/);
      const empty = read({ tracks: [{ frame: 1, label_id: 1, source: "manual", shapes: [] }] }, 3);
      assert.deepEqual(kinds(empty), ["annotated", "unusable", "unusable"]);
    });
  });

  it("makes no negative of a picture with a tag of a class that has no box there", () => {
    const task = read({ shapes: [shape(1, "rectangle", [10, 10, 30, 30])], tags: [0, 1].map((n) => ({ frame: n, label_id: 1 })) });
    assert.deepEqual(kinds(task), ["unusable", "annotated", "annotated"]);
    const forTags = read({ tags: [{ frame: 0, label_id: 3 }] }, 1, { labels: [...labels, label(3, "rainy", "tag")] });
    assert.deepEqual([kinds(forTags), forTags.labels], [["annotated"], ["car", "truck"]], "a label for tags alone is no class");
  });

  it("knows who annotated what by the jobs' frames, and takes no ground-truth job for one", () => {
    const task = read({}, 4, { jobs: [job(9, 0, 3, "judge", "ground_truth"), job(1, 0, 1, "anna"), job(2, 2, 3)] });
    assert.deepEqual(
      task.frames.map(({ annotator, jobId }) => [annotator, jobId]),
      [
        ["anna", 1],
        ["anna", 1],
        [null, 2],
        [null, 2],
      ],
    );
  });
});

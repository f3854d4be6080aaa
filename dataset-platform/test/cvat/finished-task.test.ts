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

  it("makes no negative of any frame of a track", () => {
    const key = (n: number, outside = false) => ({ frame: n, outside });
    const until = read({ tracks: [{ frame: 1, label_id: 1, shapes: [key(1), key(4, true)] }] }, 6);
    assert.deepEqual(kinds(until), ["annotated", "unusable", "unusable", "unusable", "annotated", "annotated"]);
    assert.match(whyOf(until, 2)!, /a track "car": draw single boxes in its place/);
    const open = read({ tracks: [{ frame: 1, label_id: 1, shapes: [key(1)] }] }, 6, { jobs: [job(1, 0, 2), job(2, 3, 5)] });
    assert.deepEqual(kinds(open), ["annotated", "unusable", "unusable", "annotated", "annotated", "annotated"], "a track ends with its job");
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

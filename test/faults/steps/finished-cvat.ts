import type { CvatClient } from "@airloom/dataset-platform/cvat/client.ts";

/** A CVAT in which people are done with these pictures: one was deleted, where `deleted` says which, some hold nothing, and the others a box or two. */
export function finishedCvat(names: readonly string[], deleted?: number): CvatClient {
  const box = (frame: number, label_id: number, left: number) => ({
    type: "rectangle",
    frame,
    label_id,
    points: [left, 2, left + 5, 12],
    rotation: 0,
    source: "manual",
  });
  const shapes = names.flatMap((_, frame) => [...(frame % 4 === 1 ? [] : [box(frame, 1, 1)]), ...(frame % 3 === 0 ? [box(frame, 2, 9)] : [])]);
  const answers = {
    url: "http://cvat.invalid",
    tryTask: async (id: number) => ({ id, name: "task" }),
    frames: async () => names.map((name, i) => ({ name, width: 20, height: 16, deleted: i === deleted })),
    annotations: async () => ({ shapes, tracks: [], tags: [] }),
    labelsOfTask: async () => ["car", "tree"].map((name, i) => ({ id: i + 1, name, type: "any" })),
    jobs: async () => [{ id: 7, stage: "acceptance", state: "completed", type: "annotation", assignee: { username: "ann" } }],
  } satisfies { [K in keyof CvatClient]?: unknown };
  return answers as unknown as CvatClient;
}

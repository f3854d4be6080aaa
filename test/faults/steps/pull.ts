import type { CvatClient } from "@airloom/dataset-platform/cvat/client.ts";
import { imagesOfBatch } from "@airloom/dataset-platform/registry/batches.ts";
import { pullTask } from "../../../runners/cvat/pull-task.ts";
import { atStepPlace, stepRun } from "./place.ts";

/** The answers of a CVAT in which one picture was deleted, one holds nothing, and the others have a box or two. */
function finishedCvat(names: readonly string[]) {
  const box = (frame: number, label_id: number, left: number) => ({
    type: "rectangle",
    frame,
    label_id,
    points: [left, 2, left + 5, 12],
    rotation: 0,
    source: "manual",
  });
  const shapes = names.flatMap((_, frame) => [...(frame % 4 === 1 ? [] : [box(frame, 1, 1)]), ...(frame % 3 === 0 ? [box(frame, 2, 9)] : [])]);
  return {
    url: "http://cvat.invalid",
    tryTask: async (id: number) => ({ id, name: "task" }),
    frames: async () => names.map((name, i) => ({ name, width: 20, height: 16, deleted: i === 2 })),
    annotations: async () => ({ shapes, tracks: [], tags: [] }),
    labelsOfTask: async () => ["car", "tree"].map((name, i) => ({ id: i + 1, name, type: "any" })),
    jobs: async () => [{ id: 7, stage: "acceptance", state: "completed", type: "annotation", assignee: { username: "ann" } }],
  } satisfies { [K in keyof CvatClient]?: unknown };
}

await atStepPlace(async ({ registry, storage }) => {
  // The newest, which is pulled already where this run is the second.
  const batch = await registry.db.selectFrom("batches").selectAll().orderBy("created_at", "desc").executeTakeFirstOrThrow();
  const names = (await imagesOfBatch(registry.db, batch.id)).map(({ sha256, extension }) => `${sha256}.${extension}`);
  const cvat = finishedCvat(names) as unknown as CvatClient;
  const run = { ...stepRun("pull_annotations"), runId: batch.run_id };
  const log = { debug: console.log, info: console.log, warn: console.log, error: console.log };
  await pullTask({ registry, storage, cvat, log, run }, { taskId: batch.cvat_task_id!, batchId: batch.id });
});

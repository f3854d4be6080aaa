import { imagesOfBatch } from "@airloom/dataset-platform/registry/batches.ts";
import { pullTask } from "../../../runners/cvat/pull-task.ts";
import { finishedCvat } from "./finished-cvat.ts";
import { atStepPlace, stepRun } from "./place.ts";

await atStepPlace(async ({ registry, storage }) => {
  // The newest, which is pulled already where this run is the second.
  const batch = await registry.db.selectFrom("batches").selectAll().orderBy("created_at", "desc").executeTakeFirstOrThrow();
  const names = (await imagesOfBatch(registry.db, batch.id)).map(({ sha256, extension }) => `${sha256}.${extension}`);
  const cvat = finishedCvat(names, 2);
  const run = { ...stepRun("pull_annotations"), runId: batch.run_id };
  const log = { debug: console.log, info: console.log, warn: console.log, error: console.log };
  await pullTask({ registry, storage, cvat, log, run }, { taskId: batch.cvat_task_id!, batchId: batch.id });
});

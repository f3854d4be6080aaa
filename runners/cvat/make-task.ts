import path from "node:path";
import type { Log } from "airloom";
import { type CvatClient, CvatError } from "@airloom/dataset-platform/cvat/client.ts";
import { setLabelingTask } from "@airloom/dataset-platform/registry/batches.ts";
import type { RunKey } from "@airloom/dataset-platform/registry/events.ts";
import { holdBatch } from "@airloom/dataset-platform/registry/hold-batch.ts";
import type { Registry } from "@airloom/dataset-platform/registry/registry.ts";
import { imagePath, type StorageLayout } from "@airloom/dataset-platform/store/layout.ts";
import { drawKnownBoxes } from "./draw-known-boxes.ts";
import { type Plan, planTask, type Wanted } from "./plan-task.ts";

interface Place {
  readonly registry: Registry;
  readonly storage: StorageLayout;
  readonly cvat: CvatClient;
  readonly log: Log;
  readonly run: RunKey;
}

/** Makes a batch's task in CVAT, with what is known of its pictures drawn in it, or goes on with what is there. */
export async function makeTask(place: Place, wanted: Wanted): Promise<{ id: number; images: number }> {
  const { registry, cvat, log, run } = place;
  const plan = await planTask(registry, cvat, wanted, run);
  for (const note of plan.notes) log.info(note);
  for (const warning of plan.warnings) log.warn(warning);
  const images = plan.images.length;
  if (plan.present !== undefined) {
    log.info(`task ${plan.present} is there already, and is gone on with: ${cvat.taskUrl(plan.present)}`);
    return { id: plan.present, images };
  }
  const made = await findOrUpload(place, plan);
  const drawn = await drawOnce(place, plan, made);
  if (drawn.proposed > 0) log.info(`${drawn.proposed} boxes that a model saw are drawn already: they need a look`);
  if (drawn.earlier > 0) log.info(`${drawn.earlier} boxes of earlier annotations are drawn again, to be mended`);
  // Its number is written down last: a task that has one is whole, and what was drawn in it is never drawn again.
  const id = await registry.transaction(async (trx) => {
    const batch = await holdBatch(trx, wanted.batchId, run);
    if (batch.cvat_task_id !== null) return batch.cvat_task_id;
    await setLabelingTask(trx, wanted.batchId, { project: wanted.project, asked: plan.asked, cvatUrl: cvat.url, cvatTaskId: made }, run);
    return made;
  });
  if (id !== made) {
    log.warn(`another try of this task was faster: task ${id} is used, and ${made} is removed again`);
    await cvat.deleteTask(made);
  }
  log.info(`${images} images wait to be labelled: ${cvat.taskUrl(id)}`);
  return { id, images };
}

/** The task of the plan's name with all pictures in it. */
async function findOrUpload({ cvat, storage, log }: Place, { projectId, name, images }: Plan): Promise<number> {
  const before = await cvat.tryFindTask(projectId, name);
  if (before?.size === images.length) {
    log.info(`task ${before.id} "${name}" is there already`);
    return before.id;
  }
  // Left half-made by a try that was ended: nobody can have labelled it.
  if (before) await cvat.deleteTask(before.id);
  const id = await cvat.createTask(projectId, name);
  const files = images.map((image) => ({
    name: `${image.sha256}.${image.extension}`,
    file: path.join(storage.images, imagePath(image.sha256, image.extension)),
    bytes: image.bytes,
  }));
  await cvat.uploadImages(id, files).catch((error: unknown) => {
    // Not "gone for ever", as elsewhere: a try that lives at the same time took this task for one that was left half-made.
    throw error instanceof CvatError && error.status === 404
      ? new Error(`CVAT task ${id} was removed while its pictures were uploaded, by another try of this task or by a person`, { cause: error })
      : error;
  });
  return id;
}

/** Draws what is known into a task that nobody has begun to work on. */
async function drawOnce({ cvat, registry }: Place, { images }: Plan, taskId: number): Promise<{ earlier: number; proposed: number }> {
  const [{ shapes, tracks, tags }, jobs] = await Promise.all([cvat.annotations(taskId), cvat.jobs(taskId)]);
  const isBegun = shapes.length + tracks.length + tags.length > 0 || jobs.some(({ state, stage }) => state !== "new" || stage !== "annotation");
  return isBegun ? { earlier: 0, proposed: 0 } : drawKnownBoxes(cvat, registry.db, taskId, images);
}

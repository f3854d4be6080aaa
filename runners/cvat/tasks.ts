import path from "node:path";
import { notYet, sensor, task } from "airloom";
import { imagePath } from "@airloom/dataset-platform/store/layout.ts";
import { withRegistry } from "../platform/registry.ts";
import { connectCvat, taskError } from "./access.ts";

export interface LabelingTask {
  readonly id: number;
  readonly images: number;
}

/** Makes the batch's task in CVAT: finds or makes the project, adds missing labels, uploads the images. A retry goes on with what is there. */
export const createTask = task(
  "create_cvat_task",
  { timeout: "2h" },
  async (input: { batchId: string; project: string; labels: readonly string[] }, context): Promise<LabelingTask> => {
    const { log } = context;
    const cvat = await connectCvat(context);
    const { drawPredictions } = await import("./draw-predictions.ts");
    return withRegistry(async (registry, { storage }) => {
      try {
        const images = await registry.imagesOfBatch(input.batchId);
        const projectId = await cvat.findOrCreateProject(input.project);
        await cvat.addMissingLabels(projectId, input.labels);
        const name = `batch ${input.batchId}`;
        const before = await cvat.tryFindTask(projectId, name);
        if (before?.size === images.length) {
          log.info(`task ${before.id} "${name}" is there already`);
          // A try that was ended between the images and their boxes; one that a person has begun to work on stays as it is.
          if ((await cvat.annotations(before.id)).shapes.length === 0) await drawPredictions(cvat, storage, before.id);
          await registry.setCvatTask(input.batchId, before.id);
          return { id: before.id, images: images.length };
        }
        // Left half-made by a try that was ended: nobody can have labelled it.
        if (before) await cvat.deleteTask(before.id);
        const id = await cvat.createTask(projectId, name);
        const files = images.map((image) => ({
          name: `${image.sha256}.${image.extension}`,
          file: path.join(storage.images, imagePath(image.sha256, image.extension)),
          bytes: image.bytes,
        }));
        await cvat.uploadImages(id, files);
        const drawn = await drawPredictions(cvat, storage, id);
        if (drawn > 0) log.info(`${drawn} boxes that a model saw are drawn already: they need a look`);
        await registry.setCvatTask(input.batchId, id);
        log.info(`${images.length} images wait to be labelled: ${cvat.taskUrl(id)}`);
        return { id, images: images.length };
      } catch (error) {
        throw taskError(error);
      }
    });
  },
);

/** Waits until every job of the task is finished. */
export const waitForAnnotations = sensor("wait_for_annotations", { pokeInterval: "10s", timeout: "30d" }, async (input: { taskId: number }, context) => {
  const cvat = await connectCvat(context);
  try {
    const jobs = await cvat.jobs(input.taskId);
    const open = jobs.filter((job) => !(job.state === "completed" && job.stage === "acceptance"));
    if (jobs.length > 0 && open.length === 0) return { taskId: input.taskId };
    const why = `${open.length} of ${jobs.length} jobs are open: finish them at ${cvat.taskUrl(input.taskId)}`;
    return notYet(why);
  } catch (error) {
    // CVAT away for a while is no reason to stop waiting.
    if (error instanceof Error && (error as Error & { temporary?: boolean }).temporary) return notYet(error.message);
    throw taskError(error);
  }
});

export interface Pulled {
  readonly images: number;
  readonly boxes: number;
}

/** Writes the boxes of a finished task beside its images, as YOLO label files; a picture without boxes gets an empty one. */
export const pullAnnotations = task("pull_annotations", { timeout: "1h" }, async (input: { taskId: number; batchId: string }, context): Promise<Pulled> => {
  const { log } = context;
  const cvat = await connectCvat(context);
  const { storeAnnotations } = await import("@airloom/dataset-platform/cvat/store-annotations.ts");
  return withRegistry(async (registry, { storage }) => {
    try {
      const report = await storeAnnotations({ cvat, registry, storage, taskId: input.taskId, batchId: input.batchId });
      for (const warning of report.warnings) log.warn(warning);
      log.info(`${report.boxes} boxes on ${report.images} images`);
      return { images: report.images, boxes: report.boxes };
    } catch (error) {
      throw taskError(error);
    }
  });
});

import { notYet, sensor, task, TerminalError } from "airloom";
import { runKeyOf, withRegistry } from "../platform/registry.ts";
import { withCvat } from "./access.ts";

export interface LabelingTask {
  readonly id: number;
  readonly images: number;
}

/** Makes the batch's task in CVAT: finds or makes the project, adds missing labels, uploads the images. A retry goes on with what is there. */
export const createTask = task(
  "create_cvat_task",
  { timeout: "2h" },
  async (input: { batchId: string; project: string; labels: readonly string[] }, context): Promise<LabelingTask> => {
    // CVAT takes no blanks at the ends of a name: the next run would not find it.
    const project = input.project.trim();
    if (project === "") throw new TerminalError("cvat_project in the run's conf is empty: give the name of a project in CVAT");
    if (input.labels.length === 0) throw new TerminalError('labels in the run\'s conf is empty: name at least one, such as ["car"]');
    await checkLabels(input.labels);
    const { makeTask } = await import("./make-task.ts");
    return withRegistry(context, (registry, { storage }) =>
      withCvat(context, (cvat) => makeTask({ registry, storage, cvat, log: context.log, run: runKeyOf(context.run) }, { ...input, project })),
    );
  },
);

async function checkLabels(labels: readonly string[]): Promise<void> {
  const { BadClassName, className } = await import("@airloom/dataset-platform/registry/classes.ts");
  for (const label of labels)
    try {
      className(label);
    } catch (error) {
      if (!(error instanceof BadClassName)) throw error;
      throw new TerminalError(`labels in the run's conf: ${error.message}`, { cause: error });
    }
}

/** Waits until every job of the task is finished, and accepted where a review is asked for. */
export const waitForAnnotations = sensor(
  "wait_for_annotations",
  { pokeInterval: "10s", timeout: "30d" },
  async (input: { taskId: number; batchId: string; review: boolean }, context) => {
    const { openJobs } = await import("./open-jobs.ts");
    const { batchOfRun } = await import("@airloom/dataset-platform/registry/batches.ts");
    const { ConnectionLost } = await import("@airloom/dataset-platform/registry/database.ts");
    const { CvatError } = await import("@airloom/dataset-platform/cvat/client.ts");
    const { releaseLostTask } = await import("./release-lost-task.ts");
    const run = runKeyOf(context.run);
    try {
      return await withRegistry(context, (registry) =>
        withCvat(context, async (cvat) => {
          await batchOfRun(registry.db, input.batchId, run);
          const jobs = await cvat.jobs(input.taskId);
          // Of a task that is gone CVAT answers with no jobs.
          if (jobs.length === 0 && !(await cvat.tryTask(input.taskId))) throw await releaseLostTask(registry, input.batchId, input.taskId, run);
          const { all, open, lacking } = openJobs(jobs, input.review);
          if (all > 0 && open === 0) return { taskId: input.taskId };
          return notYet(`${open} of ${all} jobs are open, at ${cvat.taskUrl(input.taskId)}${lacking === "" ? "" : `: ${lacking}`}`);
        }),
      );
    } catch (error) {
      // CVAT or the registry away for a while is no reason to stop waiting; nor is a page of a proxy that stands before CVAT.
      if (error instanceof ConnectionLost || error instanceof CvatError) return notYet(error.message);
      throw error;
    }
  },
);

export interface Pulled {
  readonly images: number;
  readonly boxes: number;
}

/** Stores the boxes of a finished task, all or nothing, and writes them beside its images as YOLO label files. */
export const pullAnnotations = task("pull_annotations", { timeout: "1h" }, async (input: { taskId: number; batchId: string }, context): Promise<Pulled> => {
  const { pullTask } = await import("./pull-task.ts");
  return withRegistry(context, (registry, { storage }) =>
    withCvat(context, (cvat) => pullTask({ registry, storage, cvat, log: context.log, run: runKeyOf(context.run) }, input)),
  );
});

import type { Log } from "airloom";
import type { CvatClient } from "@airloom/dataset-platform/cvat/client.ts";
import { readFinishedTask } from "@airloom/dataset-platform/cvat/finished-task.ts";
import { storeAnnotations, type StoreReport } from "@airloom/dataset-platform/cvat/store-annotations.ts";
import type { RunKey } from "@airloom/dataset-platform/registry/events.ts";
import type { Registry } from "@airloom/dataset-platform/registry/registry.ts";
import { writeLabelFiles } from "@airloom/dataset-platform/store/label-files.ts";
import type { StorageLayout } from "@airloom/dataset-platform/store/layout.ts";
import { releaseLostTask } from "./release-lost-task.ts";

interface Place {
  readonly registry: Registry;
  readonly storage: StorageLayout;
  readonly cvat: CvatClient;
  readonly log: Log;
  readonly run: RunKey;
}

/** Stores what people said in a finished task, and makes the label files of its pictures anew. */
export async function pullTask(
  { registry, storage, cvat, log, run }: Place,
  { taskId, batchId }: { readonly taskId: number; readonly batchId: string },
): Promise<{ images: number; boxes: number }> {
  if (!(await cvat.tryTask(taskId))) throw await releaseLostTask(registry, batchId, taskId, run);
  const task = await readFinishedTask(cvat, taskId);
  const report = await registry.transaction((trx) => storeAnnotations(trx, { batchId, cvatUrl: cvat.url, taskId, task, run }));
  await writeLabelFiles(registry.db, storage, report.sha256s);
  say(report, log);
  return { images: report.images, boxes: report.boxes };
}

function say(report: StoreReport, log: Log): void {
  const { unusable, emptied, kept, newLabels, goneLabels } = report;
  for (const { sha256, why } of unusable) log.warn(`picture ${sha256} is left out: ${why}`);
  if (unusable.length > 0)
    log.warn(
      `${unusable.length} pictures are left out of the dataset, so that none counts as one without objects: mend them in CVAT and clear this task in Airflow`,
    );
  const deleted = report.excluded - unusable.length;
  if (deleted > 0) log.info(`${deleted} pictures are left out, because their frames were deleted in CVAT`);
  if (emptied.length > 0) log.warn(`${emptied.length} pictures lost all their boxes: ${emptied.slice(0, 10).join(", ")}${emptied.length > 10 ? " …" : ""}`);
  if (kept > 0) log.info(`${kept} boxes of earlier annotations are kept, whose labels this task did not ask for`);
  const changed = [
    ...(newLabels.length > 0 ? [`${newLabels.join(", ")} came, and count where they are drawn`] : []),
    ...(goneLabels.length > 0 ? [`${goneLabels.join(", ")} went`] : []),
  ];
  if (changed.length > 0) log.warn(`the labels changed while people worked: ${changed.join("; ")}. A label that was renamed is another class from now on`);
  log.info(`${report.boxes} boxes on ${report.images} images`);
}

import { dag, template } from "airloom";
import { createTask, pullAnnotations, waitForAnnotations } from "../runners/cvat/tasks.ts";
import { commitDataset } from "../runners/dvc/task.ts";
import { ingestImages } from "../runners/ingest/task.ts";
import { selectBatch } from "../runners/select/task.ts";

/** What the person who triggers the pipeline may choose. */
export interface LabelingConf {
  /** Source of images: those in incoming/, and in its sub-folder of this name. @default "manual_upload" @pattern ^[\w-][\w.-]{0,99}$ */
  source_id: string;
  /** Number of images to label. @default 10 @minimum 1 @maximum 1000 @asType integer */
  batch_size: number;
  /** Project name in CVAT. @default "MyProject" @minLength 1 @maxLength 256 */
  cvat_project: string;
  /** Labels to use. @default ["car", "truck"] @minItems 1 */
  labels: string[];
  /** Waits until each job of the CVAT task has been accepted in a review, not only finished. @default false */
  review: boolean;
}

/** Ingests new images, has people label them in CVAT, and commits the new dataset version. */
export default dag<LabelingConf>("labeling_pipeline", { schedule: null, retries: 2, tags: ["airloom", "data"] }, ({ conf }) => {
  const ingested = ingestImages({ sourceId: conf.source_id });
  const batch = selectBatch({ sourceId: conf.source_id, batchSize: conf.batch_size }, { after: ingested });
  const task = createTask({ batchId: batch.id, project: conf.cvat_project, labels: conf.labels });
  const labelled = waitForAnnotations({ taskId: task.id, batchId: batch.id, review: conf.review });
  const pulled = pullAnnotations({ taskId: labelled.taskId, batchId: batch.id });
  commitDataset({ message: template`Auto-commit: labeling batch ${batch.id} (${pulled.images} images, ${pulled.boxes} boxes)` });
});

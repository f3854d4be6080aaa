import type { CvatClient } from "@airloom/dataset-platform/cvat/client.ts";
import type { StorageLayout } from "@airloom/dataset-platform/store/layout.ts";
import { tryReadPredictions } from "@airloom/dataset-platform/store/predictions.ts";

/**
 * Draws into a task what a model has seen in its images, so that people correct boxes rather than draw them. Only labels that
 * the project has are drawn. The number of boxes.
 */
export async function drawPredictions(cvat: CvatClient, storage: StorageLayout, taskId: number): Promise<number> {
  const labels = new Map((await cvat.labelsOfTask(taskId)).map(({ id, name }) => [name, id]));
  const boxes: { frame: number; labelId: number; points: number[] }[] = [];
  for (const [frame, { name, width, height }] of (await cvat.frames(taskId)).entries()) {
    const predictions = await tryReadPredictions(storage, name.split(".")[0]!);
    for (const { name: label, box } of predictions?.detections ?? []) {
      const labelId = labels.get(label);
      if (labelId !== undefined) boxes.push({ frame, labelId, points: box.map((share, i) => share * (i % 2 === 0 ? width : height)) });
    }
  }
  if (boxes.length > 0) await cvat.putBoxes(taskId, boxes);
  return boxes.length;
}

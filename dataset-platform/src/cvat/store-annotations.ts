import path from "node:path";
import { addClasses, formatYolo, type YoloObject } from "../labels/yolo-labels.ts";
import type { Registry } from "../registry/registry.ts";
import { atomicWrite } from "../store/atomic-write.ts";
import { labelPath, type StorageLayout } from "../store/layout.ts";
import type { CvatAnnotations, CvatClient } from "./client.ts";

export interface StoreOptions {
  readonly cvat: CvatClient;
  readonly registry: Registry;
  readonly storage: StorageLayout;
  readonly taskId: number;
  readonly batchId: string;
}

/** Writes a task's boxes as label files beside the batch's images. Repeating it gives the same files. */
export async function storeAnnotations({
  cvat,
  registry,
  storage,
  taskId,
  batchId,
}: StoreOptions): Promise<{ images: number; boxes: number; warnings: string[] }> {
  const [frames, annotations, images, task] = await Promise.all([
    cvat.frames(taskId),
    cvat.annotations(taskId),
    registry.imagesOfBatch(batchId),
    cvat.task(taskId),
  ]);
  const warnings: string[] = [];
  if (annotations.tracks.length > 0) warnings.push(`${annotations.tracks.length} tracks were left out: only shapes on single pictures are taken`);
  const labels = new Map((await cvat.labelsOfTask(task.id)).map((label) => [label.id, label.name]));
  const used = [...new Set(annotations.shapes.map((shape) => labels.get(shape.label_id)))].filter((name) => name !== undefined);
  // All the project's labels, not only those that were used: a class must not appear later because of chance.
  const classes = await addClasses(storage.classes, [...labels.values(), ...used]);
  const bySha = new Map(images.map((image) => [image.sha256, image]));
  const now = new Date().toISOString();
  let boxes = 0;
  let written = 0;
  for (const [index, frame] of frames.entries()) {
    const image = bySha.get(path.parse(frame.name).name);
    if (!image) {
      warnings.push(`picture ${frame.name} of task ${taskId} is not in batch ${batchId}: its boxes were left out`);
      continue;
    }
    const objects: YoloObject[] = [];
    for (const shape of annotations.shapes.filter((candidate) => candidate.frame === index)) {
      const hull = hullOf(shape);
      const name = labels.get(shape.label_id);
      if (!hull || name === undefined) {
        warnings.push(`a ${shape.type} on ${frame.name} was left out: only rectangles and polygons are taken`);
        continue;
      }
      const xywh = toShares(hull, frame);
      if (xywh) objects.push({ cls: classes.indexOf(name), xywh });
      else warnings.push(`an empty box on ${frame.name} was left out`);
    }
    await atomicWrite(path.join(storage.images, labelPath(image.sha256)), formatYolo(objects));
    await registry.markLabelled(image.sha256, now);
    boxes += objects.length;
    written++;
  }
  return { images: written, boxes, warnings };
}

type Hull = readonly [x1: number, y1: number, x2: number, y2: number];

/** The upright box around a shape, in pixels. A rotated rectangle's corners turn about its centre. */
export function hullOf({ type, points, rotation }: CvatAnnotations["shapes"][number]): Hull | undefined {
  if (type !== "rectangle" && type !== "polygon") return undefined;
  const xs = points.filter((_, i) => i % 2 === 0);
  const ys = points.filter((_, i) => i % 2 === 1);
  const hull: Hull = [Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys)];
  if (type === "polygon" || rotation === 0) return hull;
  const angle = (rotation * Math.PI) / 180;
  const [w, h] = [hull[2] - hull[0], hull[3] - hull[1]];
  const [cx, cy] = [(hull[0] + hull[2]) / 2, (hull[1] + hull[3]) / 2];
  const halfWidth = (Math.abs(w * Math.cos(angle)) + Math.abs(h * Math.sin(angle))) / 2;
  const halfHeight = (Math.abs(w * Math.sin(angle)) + Math.abs(h * Math.cos(angle))) / 2;
  return [cx - halfWidth, cy - halfHeight, cx + halfWidth, cy + halfHeight];
}

/** Centre and size as shares of the picture, clipped to it; undefined where nothing is left. */
function toShares([x1, y1, x2, y2]: Hull, { width, height }: { width: number; height: number }): YoloObject["xywh"] | undefined {
  const clip = (value: number, most: number) => Math.min(most, Math.max(0, value));
  const [left, top, right, bottom] = [clip(x1, width), clip(y1, height), clip(x2, width), clip(y2, height)];
  if (right - left < 1 || bottom - top < 1) return undefined;
  return [(left + right) / 2 / width, (top + bottom) / 2 / height, (right - left) / width, (bottom - top) / height];
}

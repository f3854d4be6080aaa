import { hullOf } from "../cvat/hulls.ts";
import type { Frame, Label, Shape, Task } from "./state.ts";

/** A task's annotations, ready to be written in any format. */
export interface ExportTask {
  readonly task: Task;
  readonly shapes: readonly Shape[];
  /** The frames' names, unique within the export. */
  readonly names: readonly string[];
}

/** A file of an export: text, or a picture of a task. */
export type ExportFile = { readonly path: string; readonly text: string } | { readonly path: string; readonly picture: { task: Task; frame: Frame } };

export type ExportFormat = (tasks: readonly ExportTask[], labels: readonly Label[], withImages: boolean) => ExportFile[];

const stem = (name: string) => name.replace(/\.[^.]*$/, "");

/** A rectangle's upright box; undefined for other shapes, which this exporter leaves out of YOLO, as CVAT does. */
const boxOf = (shape: Shape) => (shape.type === "rectangle" ? hullOf(shape) : undefined);

function yoloLines(shapes: readonly Shape[], index: number, { width, height }: Frame, labels: readonly Label[]): string {
  return shapes
    .filter((shape) => shape.frame === index)
    .flatMap((shape) => {
      const hull = boxOf(shape);
      if (!hull) return [];
      const [x1, y1, x2, y2] = hull;
      const numbers = [(x1 + x2) / 2 / width, (y1 + y2) / 2 / height, (x2 - x1) / width, (y2 - y1) / height];
      return `${labels.findIndex(({ id }) => id === shape.label_id)} ${numbers.map((value) => value.toFixed(6)).join(" ")}`;
    })
    .join("\n");
}

function bySubset(tasks: readonly ExportTask[], unnamed: string): Map<string, ExportTask[]> {
  const subsets = new Map<string, ExportTask[]>();
  for (const entry of tasks) {
    const name = entry.task.subset || unnamed;
    subsets.set(name, [...(subsets.get(name) ?? []), entry]);
  }
  return subsets;
}

const yolo11: ExportFormat = (tasks, labels, withImages) => {
  const subsets = bySubset(tasks, "train");
  const lists = [...subsets.keys()].map((subset) => `${subset} = data/${subset}.txt\n`).join("");
  const files: ExportFile[] = [
    { path: "obj.data", text: `classes = ${labels.length}\n${lists}names = data/obj.names\nbackup = backup/\n` },
    { path: "obj.names", text: labels.map(({ name }) => `${name}\n`).join("") },
  ];
  for (const [subset, entries] of subsets) {
    const folder = `obj_${subset}_data`;
    files.push({ path: `${subset}.txt`, text: entries.flatMap(({ names }) => names.map((name) => `data/${folder}/${name}\n`)).join("") });
    for (const { task, shapes, names } of entries)
      task.frames.forEach((frame, i) => {
        files.push({ path: `${folder}/${stem(names[i]!)}.txt`, text: yoloLines(shapes, i, frame, labels) });
        if (withImages) files.push({ path: `${folder}/${names[i]}`, picture: { task, frame } });
      });
  }
  return files;
};

const ultralytics: ExportFormat = (tasks, labels, withImages) => {
  const subsets = bySubset(tasks, "train");
  const lists = [...subsets.keys()].map((subset) => `${subset}: ${subset}.txt\n`).join("");
  const files: ExportFile[] = [{ path: "data.yaml", text: `${lists}names:\n${labels.map(({ name }, i) => `  ${i}: ${name}\n`).join("")}path: .\n` }];
  for (const [subset, entries] of subsets) {
    files.push({ path: `${subset}.txt`, text: entries.flatMap(({ names }) => names.map((name) => `data/images/${subset}/${name}\n`)).join("") });
    for (const { task, shapes, names } of entries)
      task.frames.forEach((frame, i) => {
        const text = yoloLines(shapes, i, frame, labels);
        // This format has no file for a picture without boxes.
        if (text !== "") files.push({ path: `labels/${subset}/${stem(names[i]!)}.txt`, text });
        if (withImages) files.push({ path: `images/${subset}/${names[i]}`, picture: { task, frame } });
      });
  }
  return files;
};

const coco: ExportFormat = (tasks, labels, withImages) =>
  [...bySubset(tasks, "default")].flatMap(([subset, entries]) => {
    const images: unknown[] = [];
    const annotations: unknown[] = [];
    const pictures: ExportFile[] = [];
    for (const { task, shapes, names } of entries)
      task.frames.forEach((frame, i) => {
        const image = images.length + 1;
        images.push({ id: image, width: frame.width, height: frame.height, file_name: names[i], license: 0, flickr_url: "", coco_url: "", date_captured: 0 });
        if (withImages) pictures.push({ path: `images/${subset}/${names[i]}`, picture: { task, frame } });
        for (const shape of shapes.filter((candidate) => candidate.frame === i)) {
          const entry = cocoShape(shape);
          const category = labels.findIndex(({ id }) => id === shape.label_id) + 1;
          if (entry) annotations.push({ id: annotations.length + 1, image_id: image, category_id: category, ...entry });
        }
      });
    const about = { licenses: [{ name: "", id: 0, url: "" }], info: { contributor: "", date_created: "", description: "", url: "", version: "", year: "" } };
    const categories = labels.map(({ name }, i) => ({ id: i + 1, name, supercategory: "" }));
    return [...pictures, { path: `annotations/instances_${subset}.json`, text: JSON.stringify({ ...about, categories, images, annotations }) }];
  });

function cocoShape(shape: Shape): Record<string, unknown> | undefined {
  const hull = boxOf(shape);
  if (hull) {
    const [x1, y1, x2, y2] = hull;
    const attributes = { occluded: shape.occluded, rotation: shape.rotation };
    return { segmentation: [], area: (x2 - x1) * (y2 - y1), bbox: [x1, y1, x2 - x1, y2 - y1], iscrowd: 0, attributes };
  }
  if (shape.type !== "polygon") return undefined;
  const xs = shape.points.filter((_, i) => i % 2 === 0);
  const ys = shape.points.filter((_, i) => i % 2 === 1);
  // The shoelace formula.
  const area = Math.abs(xs.reduce((sum, x, i) => sum + x * ys[(i + 1) % ys.length]! - xs[(i + 1) % xs.length]! * ys[i]!, 0)) / 2;
  const [left, top] = [Math.min(...xs), Math.min(...ys)];
  const bbox = [left, top, Math.max(...xs) - left, Math.max(...ys) - top];
  return { segmentation: [[...shape.points]], area, bbox, iscrowd: 0, attributes: { occluded: shape.occluded } };
}

export const exportFormats: Readonly<Record<string, ExportFormat>> = { "YOLO 1.1": yolo11, "Ultralytics YOLO Detection 1.0": ultralytics, "COCO 1.0": coco };

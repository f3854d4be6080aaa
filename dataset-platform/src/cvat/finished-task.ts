import { className } from "../registry/classes.ts";
import type { BoxOrigin } from "../registry/tables.ts";
import type { CvatAnnotations, CvatClient, CvatFrame, CvatJob, CvatLabel } from "./client.ts";
import { hullOf, toShares } from "./hulls.ts";
import { framesOfTrack } from "./tracks.ts";

/** A box as CVAT has it: its class by name. */
export interface NamedBox {
  readonly label: string;
  readonly xywh: readonly [cx: number, cy: number, w: number, h: number];
  readonly how: BoxOrigin;
}

/** What a person said of one frame: its boxes, or why the picture cannot be taken. */
export type Frame = { readonly name: string; readonly annotator: string | null; readonly jobId: number | null } & (
  | { readonly kind: "annotated"; readonly boxes: readonly NamedBox[] }
  | { readonly kind: "deleted" | "unusable"; readonly why: string }
);

export interface FinishedTask {
  /** The names of the labels that a box may have, as classes. */
  readonly labels: readonly string[];
  readonly frames: readonly Frame[];
}

/** Types of labels that an object with a box can have. */
const boxTypes = new Set(["any", "rectangle", "polygon", "ellipse", "mask", "cuboid", "skeleton"]);

/** Whether people can mark an object that a box goes around with a label. */
export const canBeBoxed = ({ type }: Pick<CvatLabel, "type">): boolean => boxTypes.has(type);

const origins: Readonly<Record<string, BoxOrigin>> = { auto: "proposed", "semi-auto": "mended" };

/** All that people said in a task. */
export async function readFinishedTask(cvat: CvatClient, taskId: number): Promise<FinishedTask> {
  const [frames, annotations, labels, jobs] = await Promise.all([cvat.frames(taskId), cvat.annotations(taskId), cvat.labelsOfTask(taskId), cvat.jobs(taskId)]);
  return understand({ taskId, frames, annotations, labels, jobs });
}

interface TaskParts {
  readonly taskId: number;
  readonly frames: readonly CvatFrame[];
  readonly annotations: CvatAnnotations;
  readonly labels: readonly CvatLabel[];
  readonly jobs: readonly CvatJob[];
}

/**
 * What a task's frames hold. A frame on which something cannot be a box is unusable as a whole: without that object it would
 * teach that there is none.
 */
export function understand({ taskId, frames, annotations, labels, jobs }: TaskParts): FinishedTask {
  const boxable = new Map(labels.filter(canBeBoxed).map(({ id, name }) => [id, className(name)]));
  const nameOf = new Map(labels.map(({ id, name }) => [id, name]));
  const trouble = new Map<number, Set<string>>();
  const refuse = (frame: number, what: string) => trouble.set(frame, (trouble.get(frame) ?? new Set()).add(what));
  const boxes = new Map<number, NamedBox[]>();
  const take = (
    shape: Pick<CvatAnnotations["shapes"][number], "frame" | "label_id" | "type" | "points" | "rotation" | "source"> & {
      readonly elements?: CvatAnnotations["shapes"][number]["elements"];
    },
  ) => {
    const frame = frames[shape.frame];
    if (!frame) return;
    const label = boxable.get(shape.label_id);
    const said = `a ${shape.type} "${nameOf.get(shape.label_id) ?? `label ${shape.label_id}`}"`;
    const hull = hullOf(shape);
    const xywh = hull && toShares(hull, frame);
    if (!hull || label === undefined) refuse(shape.frame, `${said}, which cannot be made a box`);
    else if (!xywh) refuse(shape.frame, `${said} of less than a pixel within the picture`);
    else boxes.set(shape.frame, [...(boxes.get(shape.frame) ?? []), { label, xywh, how: origins[shape.source] ?? "drawn" }]);
  };
  for (const shape of annotations.shapes) take(shape);
  const annotationJobs = jobs.filter(({ type }) => type === "annotation");
  const jobOf = (frame: number) =>
    annotationJobs.find(({ start_frame, stop_frame }) => frame >= (start_frame ?? 0) && frame <= (stop_frame ?? frames.length - 1)) ?? undefined;
  for (const track of annotations.tracks) {
    const what = `a track "${nameOf.get(track.label_id) ?? `label ${track.label_id}`}" between two key frames: draw single boxes in its place`;
    for (const { frame, shape } of framesOfTrack(track, jobOf(track.frame)?.stop_frame ?? frames.length - 1))
      if (shape) take({ ...shape, frame, label_id: track.label_id });
      else refuse(frame, what);
  }
  for (const { frame, label_id } of annotations.tags) {
    const label = boxable.get(label_id);
    // A label that is for tags alone says nothing of objects; one that has its box too, nothing more.
    if (label !== undefined && !boxes.get(frame)?.some((box) => box.label === label)) refuse(frame, `the tag "${label}" and no box of it`);
  }
  const understood = frames.map(({ name, deleted }, i): Frame => {
    const job = jobOf(i);
    const who = { name, annotator: job?.assignee?.username ?? null, jobId: job?.id ?? null };
    const by = who.annotator ? ` by ${who.annotator}` : "";
    if (deleted) return { ...who, kind: "deleted", why: `deleted in CVAT task ${taskId}${by}, frame ${i}` };
    const reasons = trouble.get(i);
    if (reasons) return { ...who, kind: "unusable", why: `frame ${i} of CVAT task ${taskId} holds ${[...reasons].join("; ")}` };
    return { ...who, kind: "annotated", boxes: boxes.get(i) ?? [] };
  });
  return { labels: [...new Set(boxable.values())], frames: understood };
}

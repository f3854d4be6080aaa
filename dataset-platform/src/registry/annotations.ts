import { createHash } from "node:crypto";
import { type Insertable, sql, type Transaction } from "kysely";
import { formatYolo } from "../labels/yolo-labels.ts";
import type { Db } from "./database.ts";
import { recordEvents, type RunKey } from "./events.ts";
import { batchOfRun } from "./batches.ts";
import { stateWithoutBatch } from "./images.ts";
import type { BoxOrigin, Tables } from "./tables.ts";

/** One object in a picture: its class, and centre and size as shares of the picture as a person sees it. */
export interface Box {
  readonly classId: number;
  readonly xywh: readonly [cx: number, cy: number, w: number, h: number];
  readonly how: BoxOrigin;
}

/** What a person said of one picture. */
export interface Annotated {
  readonly sha256: string;
  readonly boxes: readonly Box[];
  readonly annotator: string | null;
  readonly cvatJobId: number | null;
  /** The classes that were asked of this picture, where they are others than those of the whole pull. */
  readonly asked?: readonly number[];
}

/** What was found in a CVAT task when its jobs were done. */
export interface Pull {
  readonly batchId: string;
  /** The classes that people were asked to mark. */
  readonly asked: readonly number[];
  readonly cvatUrl: string;
  readonly cvatTaskId: number;
  readonly annotated: readonly Annotated[];
  /** Pictures that are out, a frame that was deleted in CVAT say. */
  readonly excluded: readonly { readonly sha256: string; readonly why: string }[];
}

export interface Stored {
  readonly images: number;
  readonly boxes: number;
  /** Pictures whose annotation is another than before. */
  readonly changed: number;
  readonly excluded: number;
}

/** The label file that boxes make: the same for ever, so that its hash can stand in a row. */
export function labelOf(boxes: readonly Pick<Box, "classId" | "xywh">[]): { text: string; md5: string; bytes: number } {
  const text = formatYolo(boxes.map(({ classId, xywh }) => ({ cls: classId, xywh })));
  return { text, md5: createHash("md5").update(text).digest("hex"), bytes: Buffer.byteLength(text) };
}

/**
 * Stores what came of a whole batch, all or nothing: a revision for each picture whose boxes or asked classes are others than
 * before, and every picture leaves the batch. The same again changes nothing. Pictures that the batch does not hold are
 * refused, and so are ones that it holds and `pull` says nothing of.
 */
export async function storePull(trx: Transaction<Tables>, pull: Pull, run: RunKey): Promise<Stored> {
  const batch = await batchOfRun(trx, pull.batchId, run);
  const held = new Set((await trx.selectFrom("batch_images").select("sha256").where("batch_id", "=", batch.id).execute()).map(({ sha256 }) => sha256));
  const told = new Set([...pull.annotated, ...pull.excluded].map(({ sha256 }) => sha256));
  const strange = [...told].filter((sha256) => !held.has(sha256));
  const silent = [...held].filter((sha256) => !told.has(sha256));
  if (strange.length > 0) throw new Error(`batch ${batch.id} does not hold ${strange.length} of the pictures, ${strange[0]} for one`);
  if (silent.length > 0) throw new Error(`nothing is said of ${silent.length} pictures of batch ${batch.id}, ${silent[0]} for one`);
  let changed = 0;
  let boxes = 0;
  for (const picture of pull.annotated) {
    boxes += picture.boxes.length;
    if (await storeAnnotation(trx, { ...pull, ...picture, origin: "cvat" })) changed++;
  }
  const sha256s = pull.annotated.map(({ sha256 }) => sha256);
  await bringBack(trx, batch.id, sha256s, run);
  if (sha256s.length > 0)
    await trx
      .updateTable("images")
      .set({ state: stateWithoutBatch, state_why: null, batch_id: null })
      .where("sha256", "in", sha256s)
      // Another batch may have it by now, to be labelled again; and what a person has excluded stays out.
      .where((eb) => eb.or([eb("batch_id", "=", batch.id), eb("state", "in", ["new", "labelled"])]))
      .execute();
  for (const { sha256, why } of pull.excluded) await leaveOut(trx, batch.id, sha256, why, run);
  if (batch.state === "open") {
    await trx
      .updateTable("batches")
      .set({ state: "pulled", ended_at: sql`now()` })
      .where("id", "=", batch.id)
      .execute();
    const detail = { images: pull.annotated.length, boxes, excluded: pull.excluded.length };
    await recordEvents(trx, run, [{ kind: "batch.pulled", subject: batch.id, detail }]);
  }
  return { images: pull.annotated.length, boxes, changed, excluded: pull.excluded.length };
}

/** Pictures that an earlier pull of this batch had excluded, and that can be taken now. */
async function bringBack(trx: Transaction<Tables>, batchId: string, sha256s: readonly string[], run: RunKey): Promise<void> {
  if (sha256s.length === 0) return;
  const back = await trx
    .updateTable("images")
    .set({ state: stateWithoutBatch, state_why: null, excluded_by_batch: null })
    .where("sha256", "in", sha256s)
    .where("excluded_by_batch", "=", batchId)
    .returning("sha256")
    .execute();
  await recordEvents(
    trx,
    run,
    back.map(({ sha256 }) => ({ kind: "image.restored", subject: sha256, detail: { batch: batchId } })),
  );
}

/** Excludes a picture for what was found in its batch's CVAT task, unless another batch has it by now or a person excluded it. */
async function leaveOut(trx: Transaction<Tables>, batchId: string, sha256: string, why: string, run: RunKey): Promise<void> {
  const out = await trx
    .updateTable("images")
    .set({ state: "excluded", state_why: why, batch_id: null, excluded_by_batch: batchId })
    .where("sha256", "=", sha256)
    .where((eb) => eb.or([eb("batch_id", "=", batchId), eb("state", "in", ["new", "labelled"]), eb("excluded_by_batch", "=", batchId)]))
    .where("state_why", "is distinct from", why)
    .returning("sha256")
    .executeTakeFirst();
  if (out) await recordEvents(trx, run, [{ kind: "image.excluded", subject: sha256, detail: { why, batch: batchId } }]);
}

export interface NewAnnotation extends Annotated {
  readonly asked: readonly number[];
  readonly batchId: string | null;
  readonly cvatUrl: string | null;
  readonly cvatTaskId: number | null;
  readonly origin: Tables["annotations"]["origin"];
}

/** Makes an annotation a picture's newest one; false, and nothing is done, where the newest says the same. */
export async function storeAnnotation(trx: Transaction<Tables>, annotation: NewAnnotation): Promise<boolean> {
  const { sha256 } = annotation;
  const asked = [...new Set(annotation.asked)].toSorted((a, b) => a - b);
  const unasked = annotation.boxes.find(({ classId }) => !asked.includes(classId));
  if (unasked) throw new Error(`a box on ${sha256} is of class ${unasked.classId}, which nobody was asked to mark`);
  const label = labelOf(annotation.boxes);
  const newest = await trx
    .selectFrom("images")
    .leftJoin("annotations", "annotations.id", "images.annotation_id")
    .select(["annotations.revision", "annotations.label_md5", "annotations.asked"])
    .where("images.sha256", "=", sha256)
    .forUpdate("images")
    .executeTakeFirstOrThrow();
  if (newest.label_md5 === label.md5 && JSON.stringify(newest.asked) === JSON.stringify(asked)) return false;
  const row: Insertable<Tables["annotations"]> = {
    sha256,
    revision: (newest.revision ?? 0) + 1,
    batch_id: annotation.batchId,
    asked,
    annotator: annotation.annotator,
    cvat_url: annotation.cvatUrl,
    cvat_task_id: annotation.cvatTaskId,
    cvat_job_id: annotation.cvatJobId,
    origin: annotation.origin,
    label_md5: label.md5,
    label_bytes: label.bytes,
  };
  const { id } = await trx.insertInto("annotations").values(row).returning("id").executeTakeFirstOrThrow();
  if (annotation.boxes.length > 0)
    await trx
      .insertInto("boxes")
      .values(
        annotation.boxes.map(({ classId, xywh: [cx, cy, w, h], how }, position) => ({ annotation_id: id, position, class_id: classId, cx, cy, w, h, how })),
      )
      .execute();
  await trx.updateTable("images").set({ annotation_id: id }).where("sha256", "=", sha256).execute();
  return true;
}

/** The boxes of annotations, by annotation, in their order. */
export async function boxesOf(db: Db, annotationIds: readonly number[]): Promise<Map<number, Box[]>> {
  const boxes = new Map<number, Box[]>(annotationIds.map((id) => [id, []]));
  if (annotationIds.length === 0) return boxes;
  const rows = await db
    .selectFrom("boxes")
    .selectAll()
    .where("annotation_id", "=", sql<number>`any(${[...annotationIds]})`)
    .orderBy("annotation_id")
    .orderBy("position")
    .execute();
  for (const { annotation_id, class_id, cx, cy, w, h, how } of rows) boxes.get(annotation_id)!.push({ classId: class_id, xywh: [cx, cy, w, h], how });
  return boxes;
}

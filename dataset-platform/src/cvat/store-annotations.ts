import path from "node:path";
import { sql, type Transaction } from "kysely";
import { type Annotated, type Box, boxesOf, type Stored, storePull } from "../registry/annotations.ts";
import { imagesOfBatch } from "../registry/batches.ts";
import { ensureClasses } from "../registry/classes.ts";
import { recordEvents, type RunKey } from "../registry/events.ts";
import { holdBatch } from "../registry/hold-batch.ts";
import type { ImageRow, Tables } from "../registry/tables.ts";
import type { FinishedTask } from "./finished-task.ts";
import { type EarlierTwo, tellPicture } from "./tell-picture.ts";

/** The CVAT task does not hold the pictures that the batch holds. */
export class OtherPictures extends Error {
  override readonly name = "OtherPictures";
}

export interface StoreOptions {
  readonly batchId: string;
  readonly cvatUrl: string;
  readonly taskId: number;
  readonly task: FinishedTask;
  readonly run: RunKey;
}

export interface StoreReport extends Stored {
  /** Every picture of the batch. */
  readonly sha256s: readonly string[];
  readonly unusable: readonly { readonly sha256: string; readonly why: string }[];
  /** Pictures that had boxes and have none any more. */
  readonly emptied: readonly string[];
  /** Earlier boxes of classes that this task did not ask for. */
  readonly kept: number;
  /** Labels that came or went while the task was open. */
  readonly newLabels: readonly string[];
  readonly goneLabels: readonly string[];
}

/** Stores all that people said in a finished task, or nothing. The same again changes nothing. */
export async function storeAnnotations(trx: Transaction<Tables>, { batchId, cvatUrl, taskId, task, run }: StoreOptions): Promise<StoreReport> {
  const batch = await holdBatch(trx, batchId, run);
  const images = await imagesOfBatch(trx, batchId);
  const frames = matchFrames(batchId, taskId, task, images);
  const ids = await ensureClasses(trx, task.labels, run);
  const classOf = new Map(task.labels.map((name, i) => [name, ids[i]!]));
  const askedThen = batch.asked ?? ids;
  // A label that was added later was not asked of those who had finished by then: it counts where it is drawn. One that is
  // gone is asked no more.
  const asked = ids.filter((id) => askedThen.includes(id));
  const before = await annotationsBefore(trx, images, batchId);
  const annotated: Annotated[] = [];
  const excluded: { sha256: string; why: string }[] = [];
  let kept = 0;
  for (const { sha256 } of images) {
    const frame = frames.get(sha256)!;
    if (frame.kind !== "annotated") {
      excluded.push({ sha256, why: frame.why });
      continue;
    }
    const drawn = frame.boxes.map(({ label, xywh, how }): Box => ({ classId: classOf.get(label)!, xywh, how }));
    const told = tellPicture({ drawn, asked, ...before.get(sha256) });
    kept += told.kept;
    annotated.push({ sha256, boxes: told.boxes, asked: told.asked, annotator: frame.annotator, cvatJobId: frame.jobId });
  }
  const emptied = annotated
    .filter(({ sha256, boxes }) => boxes.length === 0 && (before.get(sha256)?.newest?.boxes.length ?? 0) > 0)
    .map(({ sha256 }) => sha256);
  const stored = await storePull(trx, { batchId, asked, cvatUrl, cvatTaskId: taskId, annotated, excluded }, run);
  await recordEvents(
    trx,
    run,
    emptied.map((sha256) => ({
      kind: "image.emptied",
      subject: sha256,
      detail: { batch: batchId, cvatTask: taskId, boxesBefore: before.get(sha256)!.newest!.boxes.length },
    })),
  );
  const names = new Map(
    (
      await trx
        .selectFrom("classes")
        .selectAll()
        .where("id", "=", sql<number>`any(${[...askedThen]}::integer[])`)
        .execute()
    ).map(({ id, name }) => [id, name]),
  );
  return {
    ...stored,
    sha256s: images.map(({ sha256 }) => sha256),
    unusable: excluded.filter(({ sha256 }) => frames.get(sha256)!.kind === "unusable"),
    emptied,
    kept,
    newLabels: task.labels.filter((name) => !askedThen.includes(classOf.get(name)!)),
    goneLabels: askedThen.filter((id) => !ids.includes(id)).map((id) => names.get(id)!),
  };
}

/** Each picture's frame. Names are made from the pictures' hashes: others, or missing ones, mean that it is another task. */
function matchFrames(batchId: string, taskId: number, task: FinishedTask, images: readonly ImageRow[]): Map<string, FinishedTask["frames"][number]> {
  const frames = new Map(task.frames.map((frame) => [path.parse(frame.name).name, frame]));
  const held = new Set(images.map(({ sha256 }) => sha256));
  const strange = task.frames.filter(({ name }) => !held.has(path.parse(name).name)).map(({ name }) => name);
  const missing = images.filter(({ sha256 }) => !frames.has(sha256)).map(({ sha256, original_name }) => `${sha256} (${original_name})`);
  if (strange.length + missing.length === 0) return frames;
  const list = (names: readonly string[]) => `${names.slice(0, 10).join(", ")}${names.length > 10 ? ` and ${names.length - 10} more` : ""}`;
  const said = [
    ...(strange.length > 0 ? [`it has ${strange.length} pictures that the batch has not: ${list(strange)}`] : []),
    ...(missing.length > 0 ? [`it lacks ${missing.length} pictures of the batch: ${list(missing)}`] : []),
  ];
  throw new OtherPictures(
    `CVAT task ${taskId} does not hold the pictures of batch ${batchId}, so nothing was stored: ${said.join("; ")}. Clear create_cvat_task in Airflow to have the task made again`,
  );
}

async function annotationsBefore(trx: Transaction<Tables>, images: readonly ImageRow[], batchId: string): Promise<Map<string, EarlierTwo>> {
  const newestIds = images.flatMap(({ annotation_id }) => (annotation_id === null ? [] : [annotation_id]));
  if (newestIds.length === 0) return new Map();
  const rows = await trx
    .selectFrom("annotations")
    .select(["id", "sha256", "asked", "batch_id", "revision"])
    .where((eb) => eb.or([eb("id", "=", sql<number>`any(${newestIds}::bigint[])`), eb("batch_id", "=", batchId)]))
    .orderBy("revision")
    .execute();
  const boxes = await boxesOf(
    trx,
    rows.map(({ id }) => id),
  );
  const newest = new Set(newestIds);
  const found = new Map<string, EarlierTwo>();
  for (const { id, sha256, asked, batch_id } of rows) {
    const earlier = { asked, boxes: boxes.get(id)! };
    const entry = found.get(sha256) ?? {};
    if (!newest.has(id)) found.set(sha256, { ...entry, ours: earlier });
    // What this batch said is the newest itself: there is nothing of another batch's to go before it.
    else found.set(sha256, batch_id === batchId ? { newest: earlier } : { ...entry, newest: earlier });
  }
  return found;
}

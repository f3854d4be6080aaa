import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import path from "node:path";
import type { Transaction } from "kysely";
import sharp from "sharp";
import { captureTime } from "../groups/capture-time.ts";
import { pictureHashes } from "../groups/perceptual-hash.ts";
import { parseYolo, readClasses, type YoloObject } from "../labels/yolo-labels.ts";
import { imagePath, labelPath, type StorageLayout } from "../store/layout.ts";
import { type NewAnnotation, storeAnnotation } from "./annotations.ts";
import { ensureClasses } from "./classes.ts";
import { type Actor, recordEvents } from "./events.ts";
import { addImage, type NewImage, stateWithoutBatch } from "./images.ts";
import type { LegacyRows } from "./legacy-registry.ts";
import type { Tables } from "./tables.ts";

/** The source of pictures that were found in a storage folder, where nothing tells another. */
const foundSource = "found";

export interface Adopted {
  readonly images: number;
  readonly labelled: number;
  /** Files that could not be taken, with the reason. */
  readonly leftOut: readonly string[];
}

/** Whether a storage folder holds pictures. */
export async function holdsPictures({ images }: StorageLayout): Promise<boolean> {
  const names = await readdir(images).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return [];
    throw error;
  });
  return names.some((name) => /^[0-9a-f]{2}$/.test(name));
}

/**
 * Takes the pictures and labels of a storage folder into a registry that is empty: one that was lost, a clone on another
 * machine, or a folder of an earlier Airloom. A picture with a label file is labelled, and the classes keep their numbers.
 */
export async function adoptStorage(trx: Transaction<Tables>, storage: StorageLayout, legacy: LegacyRows | undefined, actor: Actor): Promise<Adopted> {
  const classes = await readClasses(storage.classes);
  const asked = await ensureClasses(trx, classes, actor);
  if (asked.some((id, i) => id !== i))
    throw new Error(`${storage.classes} names a class twice, or two that differ in spaces alone: the numbers of its classes cannot be kept`);
  const known = new Map(legacy?.images.map((row) => [row.sha256, row]));
  const leftOut: string[] = [];
  let images = 0;
  let labelled = 0;
  for (const file of await pictureFiles(storage)) {
    const picture = await readPicture(storage, file);
    if (typeof picture === "string") {
      leftOut.push(picture);
      continue;
    }
    const before = known.get(picture.sha256);
    const told = before && { source_id: before.source_id, original_name: before.original_name, ingested_at: new Date(before.ingested_at) };
    await addImage(trx, { ...picture, ...told }, actor);
    images++;
    const objects = await readLabel(storage, picture.sha256, classes.length);
    if (typeof objects === "string") leftOut.push(objects);
    else if (objects) {
      await storeAnnotation(trx, annotationOf(picture.sha256, objects, asked));
      await trx.updateTable("images").set({ state: stateWithoutBatch }).where("sha256", "=", picture.sha256).execute();
      labelled++;
    }
  }
  if (legacy) await adoptBatches(trx, legacy);
  await recordEvents(trx, actor, [{ kind: "storage.adopted", subject: storage.root, detail: { images, labelled, leftOut: leftOut.length } }]);
  return { images, labelled, leftOut };
}

async function pictureFiles({ images }: StorageLayout): Promise<string[]> {
  const names = await readdir(images, { recursive: true });
  return names.filter((name) => /^[0-9a-f]{2}\/[0-9a-f]{2}\/[0-9a-f]{64}\.(jpg|png|webp)$/.test(name)).toSorted();
}

/** The facts of a stored picture; a sentence where its bytes are not what its name says. */
async function readPicture(storage: StorageLayout, name: string): Promise<NewImage | string> {
  const file = path.join(storage.images, name);
  const data = await readFile(file);
  const { name: sha256, ext } = path.parse(name);
  const digest = (algorithm: string) => createHash(algorithm).update(data).digest("hex");
  if (digest("sha256") !== sha256 || name !== imagePath(sha256, ext.slice(1))) return `${file} holds other bytes than its name says`;
  try {
    const { width, height, orientation = 1, exif } = await sharp(data).metadata();
    // The next ingest finds its group.
    const { pixels, look } = await pictureHashes(data);
    const facts = { extension: ext.slice(1), bytes: data.length, width, height, orientation, captured_at: captureTime(exif) ?? null, pixels, look };
    return { ...facts, sha256, md5: digest("md5"), source_id: foundSource, original_name: name };
  } catch (error) {
    return `${file} cannot be read as a picture: ${(error as Error).message}`;
  }
}

/** A picture's objects; undefined where nobody has labelled it, a sentence where its label file cannot be read. */
async function readLabel(storage: StorageLayout, sha256: string, classes: number): Promise<YoloObject[] | string | undefined> {
  const file = path.join(storage.images, labelPath(sha256));
  const text = await readFile(file, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return undefined;
    throw error;
  });
  if (text === undefined) return undefined;
  try {
    const objects = parseYolo(text, file, classes);
    if (objects.some(({ xywh: [, , w, h] }) => w === 0 || h === 0)) return `${file} holds a box without size: the picture waits to be labelled again`;
    return objects;
  } catch (error) {
    return `${(error as Error).message}: the picture waits to be labelled again`;
  }
}

function annotationOf(sha256: string, objects: readonly YoloObject[], asked: readonly number[]): NewAnnotation {
  const boxes = objects.map(({ cls, xywh }) => ({ classId: cls, xywh, how: "drawn" as const }));
  const nothing = { annotator: null, cvatJobId: null, batchId: null, cvatUrl: null, cvatTaskId: null };
  return { ...nothing, sha256, boxes, asked, origin: "adopted" };
}

/** Batches of earlier runs whose pictures are not labelled yet: the next run adopts them where theirs is over. */
async function adoptBatches(trx: Transaction<Tables>, legacy: LegacyRows): Promise<void> {
  for (const { id, run_id, source_id, created_at } of legacy.batches) {
    const waiting = legacy.images.filter((row) => row.batch_id === id && row.labelled_at === null).map(({ sha256 }) => sha256);
    const images = await trx
      .selectFrom("images")
      .select("sha256")
      .where("sha256", "in", ["", ...waiting])
      .where("state", "=", "new")
      .execute();
    if (images.length === 0) continue;
    const key = { dag_id: "labeling_pipeline", run_id, task_id: "select_batch", map_index: -1, run_after: "" };
    await trx
      .insertInto("batches")
      .values({ ...key, id, source_id, state: "open", created_at: new Date(created_at) })
      .execute();
    const sha256s = images.map(({ sha256 }) => sha256);
    await trx
      .insertInto("batch_images")
      .values(sha256s.map((sha256) => ({ batch_id: id, sha256 })))
      .execute();
    await trx.updateTable("images").set({ state: "claimed", batch_id: id }).where("sha256", "in", sha256s).execute();
  }
}

import { createHash, randomUUID } from "node:crypto";
import { readFile, rename, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import pLimit from "p-limit";
import { sql } from "kysely";
import { boxesOf, labelOf } from "../registry/annotations.ts";
import type { Db } from "../registry/database.ts";
import { labelPath, type StorageLayout } from "./layout.ts";
import { makeFolders } from "./make-folder.ts";

/** The boxes that the registry holds are not those whose hash it holds. */
export class DamagedAnnotation extends Error {
  override readonly name = "DamagedAnnotation";
}

/** A picture whose label file is wanted. */
export interface LabelSource {
  readonly sha256: string;
  readonly annotationId: number;
  readonly labelMd5: string;
}

/** Pictures that are asked for, and label files that are written, at once. */
const picturesAtOnce = 1000;
const filesAtOnce = 16;

/** The label files that the registry's boxes make, some at a time; refuses a row whose hash says otherwise. */
export async function* labelTexts<T extends LabelSource>(db: Db, pictures: readonly T[]): AsyncGenerator<{ picture: T; text: string }[]> {
  for (let at = 0; at < pictures.length; at += picturesAtOnce) {
    const some = pictures.slice(at, at + picturesAtOnce);
    const boxes = await boxesOf(
      db,
      some.map(({ annotationId }) => annotationId),
    );
    yield some.map((picture) => {
      const { text, md5 } = labelOf(boxes.get(picture.annotationId)!);
      if (md5 !== picture.labelMd5)
        throw new DamagedAnnotation(
          `the boxes of annotation ${picture.annotationId} of ${picture.sha256} make another label file than its row says: the registry's tables were changed by hand or are damaged; bring back a dump`,
        );
      return { picture, text };
    });
  }
}

/** Makes these label files what the registry's boxes make. Files that are right already are left alone. */
export async function writeLabels(db: Db, images: string, pictures: readonly LabelSource[]): Promise<void> {
  const limit = pLimit(filesAtOnce);
  const stale: LabelSource[] = [];
  await Promise.all(pictures.map(async (picture) => limit(async () => void ((await isWritten(images, picture)) || stale.push(picture)))));
  for await (const texts of labelTexts(db, stale))
    await Promise.all(texts.map(async ({ picture, text }) => limit(async () => writeLabel(images, picture.sha256, text))));
}

/**
 * Makes the label files of pictures what the registry says: the boxes of the annotation that the next version shows, no file
 * where it shows none.
 */
export async function writeLabelFiles(db: Db, { images }: Pick<StorageLayout, "images">, sha256s: readonly string[]): Promise<void> {
  for (let i = 0; i < sha256s.length; i += picturesAtOnce) {
    const rows = await db
      .selectFrom("images")
      .leftJoin("annotations", "annotations.id", "images.visible_annotation_id")
      .select(["images.sha256", "annotations.id", "annotations.label_md5"])
      .where("images.sha256", "=", sql<string>`any(${sha256s.slice(i, i + picturesAtOnce)}::text[])`)
      .execute();
    for (const { sha256, id } of rows) if (id === null) await removeLabel(images, sha256);
    const shown = rows.flatMap(({ sha256, id, label_md5 }) => (id === null ? [] : [{ sha256, annotationId: id, labelMd5: label_md5! }]));
    await writeLabels(db, images, shown);
  }
}

async function isWritten(images: string, { sha256, labelMd5 }: LabelSource): Promise<boolean> {
  const data = await readFile(path.join(images, labelPath(sha256))).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return undefined;
    throw error;
  });
  return data !== undefined && createHash("md5").update(data).digest("hex") === labelMd5;
}

/**
 * Writes a label file of images/, whole or not at all. It is not synced: what a power cut takes can be made again from the
 * registry, and a version's own object is safe.
 */
async function writeLabel(images: string, sha256: string, text: string): Promise<void> {
  const file = path.join(images, labelPath(sha256));
  const temporary = path.join(path.dirname(file), `.${randomUUID()}.tmp`);
  await makeFolders(path.dirname(file));
  try {
    await writeFile(temporary, text, { flag: "wx" });
    await rename(temporary, file);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}

/** Removes the label file of a picture that left the dataset. */
export async function removeLabel(images: string, sha256: string): Promise<void> {
  await rm(path.join(images, labelPath(sha256)), { force: true });
}

import { createHash, randomUUID } from "node:crypto";
import { readFile, rename, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { boxesOf, labelOf } from "../registry/annotations.ts";
import type { Db } from "../registry/database.ts";
import { labelPath } from "../store/layout.ts";
import { makeFolders } from "../store/make-folder.ts";

/** A picture whose label file is wanted. */
export interface LabelSource {
  readonly sha256: string;
  readonly annotationId: number;
  readonly labelMd5: string;
}

/** Pictures whose boxes are read at a time. */
const chunkSize = 1000;

/** The label files that the registry's boxes make, a chunk at a time; refuses a row whose hash says otherwise. */
export async function* labelTexts<T extends LabelSource>(db: Db, pictures: readonly T[]): AsyncGenerator<{ picture: T; text: string }[]> {
  for (let at = 0; at < pictures.length; at += chunkSize) {
    const chunk = pictures.slice(at, at + chunkSize);
    const boxes = await boxesOf(
      db,
      chunk.map(({ annotationId }) => annotationId),
    );
    yield chunk.map((picture) => {
      const { text, md5 } = labelOf(boxes.get(picture.annotationId)!);
      if (md5 !== picture.labelMd5)
        throw new Error(
          `the boxes of annotation ${picture.annotationId} of ${picture.sha256} make another label file than its row says: the registry's database is damaged; bring back a dump`,
        );
      return { picture, text };
    });
  }
}

/** Whether a label file of images/ is the one with this hash. */
export async function isLabelWritten(images: string, { sha256, labelMd5 }: LabelSource): Promise<boolean> {
  const data = await readFile(path.join(images, labelPath(sha256))).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return undefined;
    throw error;
  });
  return data !== undefined && createHash("md5").update(data).digest("hex") === labelMd5;
}

/**
 * Writes a label file of images/, whole or not at all. It is not synced: what a power cut takes can be made again from the
 * registry, and the version's own object is safe.
 */
export async function writeLabel(images: string, sha256: string, text: string): Promise<void> {
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

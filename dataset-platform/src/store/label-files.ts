import { createHash } from "node:crypto";
import { readFile, rm } from "node:fs/promises";
import path from "node:path";
import pLimit from "p-limit";
import { sql } from "kysely";
import { boxesOf, labelOf } from "../registry/annotations.ts";
import type { Db } from "../registry/database.ts";
import { atomicWrite } from "./atomic-write.ts";
import { labelPath, type StorageLayout } from "./layout.ts";

/** The boxes that the registry holds are not those whose hash it holds. */
export class DamagedAnnotation extends Error {
  override readonly name = "DamagedAnnotation";
}

/** Pictures that are asked for, and label files that are written, at once. */
const picturesAtOnce = 1000;
const filesAtOnce = 16;

/**
 * Makes the label files of pictures what the registry says: the boxes of the annotation that the next version shows, no file
 * where it shows none. Files that are right already are left alone.
 */
export async function writeLabelFiles(db: Db, storage: Pick<StorageLayout, "images">, sha256s: readonly string[]): Promise<void> {
  const limit = pLimit(filesAtOnce);
  for (let i = 0; i < sha256s.length; i += picturesAtOnce) {
    const wanted = sha256s.slice(i, i + picturesAtOnce);
    const rows = await db
      .selectFrom("images")
      .leftJoin("annotations", "annotations.id", "images.visible_annotation_id")
      .select(["images.sha256", "annotations.id", "annotations.label_md5"])
      .where("images.sha256", "=", sql<string>`any(${wanted}::text[])`)
      .execute();
    const boxes = await boxesOf(
      db,
      rows.flatMap(({ id }) => (id === null ? [] : [id])),
    );
    await Promise.all(
      rows.map(({ sha256, id, label_md5 }) =>
        limit(async () => {
          const file = path.join(storage.images, labelPath(sha256));
          if (id === null) return rm(file, { force: true });
          const { text, md5 } = labelOf(boxes.get(id)!);
          if (md5 !== label_md5)
            throw new DamagedAnnotation(`the boxes of ${sha256} (annotation ${id}) are not those that were stored: the registry's tables were changed by hand`);
          if ((await md5OfFile(file)) !== md5) await atomicWrite(file, text);
        }),
      ),
    );
  }
}

/** Undefined where there is no file. */
async function md5OfFile(file: string): Promise<string | undefined> {
  const data = await readFile(file).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return undefined;
    throw error;
  });
  return data && createHash("md5").update(data).digest("hex");
}

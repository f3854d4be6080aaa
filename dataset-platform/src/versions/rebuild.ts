import path from "node:path";
import { allClasses } from "../registry/classes.ts";
import type { Db } from "../registry/database.ts";
import { atomicWrite, placeFile } from "../store/atomic-write.ts";
import { hashOf, sizeOf } from "../store/file-facts.ts";
import { writeLabelFiles } from "../store/label-files.ts";
import { imagePath, type StorageLayout } from "../store/layout.ts";
import type { DataRepository } from "./data-repository.ts";
import type { Mended } from "./mend-objects.ts";
import { prefixes } from "./pointers.ts";
import { each } from "./transfer.ts";

export interface Rebuilt {
  /** Pictures that were missing or damaged, and are whole again. */
  readonly pictures: number;
  /** Pictures that are nowhere whole: they were in no dataset version, or the remote has lost them. */
  readonly lost: readonly string[];
  /** What became of the versions' own objects. */
  readonly objects: Mended;
}

interface Row {
  readonly sha256: string;
  readonly extension: string;
  readonly md5: string;
  readonly bytes: number;
}

/**
 * Makes the files of a storage folder again from the registry: pictures that are missing or damaged come from DVC's cache or
 * its remote, label files and `classes.txt` from the rows; and then the objects of versions, each from wherever it is whole.
 * What is right stays as it is. `deep` reads every byte, and looks after all versions, not the newest alone.
 */
export async function rebuildFiles(db: Db, storage: StorageLayout, repository: DataRepository, deep: boolean): Promise<Rebuilt> {
  const lost: string[] = [];
  let pictures = 0;
  for (const prefix of prefixes) {
    const rows = await db
      .selectFrom("images")
      .select(["sha256", "extension", "md5", "bytes"])
      .where("sha256", ">=", prefix)
      .where("sha256", "<", `${prefix}g`)
      .orderBy("sha256")
      .execute();
    const wrong: Row[] = [];
    await each(rows, async (row) => {
      if (!(await isWhole(storage, row, deep))) wrong.push(row);
    });
    const missing = new Set(await repository.bring(wrong.map(({ md5, bytes }) => ({ oid: md5, bytes }))));
    for (const row of wrong) {
      if (missing.has(row.md5)) lost.push(row.sha256);
      else {
        await placeFile(repository.objectFile(row.md5), fileOf(storage, row), { mode: 0o444 });
        pictures++;
      }
    }
    await writeLabelFiles(
      db,
      storage,
      rows.map(({ sha256 }) => sha256),
    );
  }
  const classes = await allClasses(db);
  await atomicWrite(storage.classes, classes.map(({ name }) => `${name}\n`).join(""));
  return { pictures, lost, objects: await repository.mend(db, { deep }) };
}

const fileOf = (storage: StorageLayout, { sha256, extension }: Row) => path.join(storage.images, imagePath(sha256, extension));

async function isWhole(storage: StorageLayout, row: Row, deep: boolean): Promise<boolean> {
  const file = fileOf(storage, row);
  if ((await sizeOf(file)) !== row.bytes) return false;
  return !deep || (await hashOf(file, "sha256")) === row.sha256;
}

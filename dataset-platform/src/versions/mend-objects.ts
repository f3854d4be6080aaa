import { rm } from "node:fs/promises";
import path from "node:path";
import { boxesOf, labelOf } from "../registry/annotations.ts";
import type { Db } from "../registry/database.ts";
import { hashOf, isThere } from "../store/file-facts.ts";
import type { StorageLayout } from "../store/layout.ts";
import { objectPath, ObjectWriter } from "./dvc-objects.ts";
import { fetchObjects, pushObjects } from "./transfer.ts";
import { type ObjectFault, objectFaults, type VerifyOptions, type VerifyPlace } from "./verify-versions.ts";

export interface Mended {
  readonly mended: number;
  /** Objects that are nowhere whole and cannot be made again, by their ids. */
  readonly lost: readonly string[];
}

/** Faults that are mended at a time. */
const chunkSize = 1000;

/**
 * Makes objects of versions whole that are damaged or missing in the cache or on the remote: label files and lists from the
 * registry's rows, pictures from the storage folder, and each from the other place where that has it whole.
 */
export async function mendObjects(place: VerifyPlace, storage: StorageLayout, db: Db, options: VerifyOptions): Promise<Mended> {
  const lost: string[] = [];
  let mended = 0;
  let chunk: ObjectFault[] = [];
  const flush = async () => {
    const left = await mendSome(place, storage, db, chunk);
    lost.push(...left);
    mended += chunk.length - left.length;
    chunk = [];
  };
  for await (const fault of objectFaults(place, db, options)) if (chunk.push(fault) === chunkSize) await flush();
  await flush();
  return { mended, lost };
}

/** Returns the ids of those that stay as they are. */
async function mendSome(place: VerifyPlace, storage: StorageLayout, db: Db, faults: readonly ObjectFault[]): Promise<string[]> {
  const writer = new ObjectWriter(place.cache);
  const toFetch = faults.filter(({ cache, remote }) => cache !== "whole" && remote === "whole");
  const lost = await fetchObjects(place, place.remote, toFetch);
  for (const fault of faults) {
    if (fault.cache === "whole" || fault.remote === "whole") continue;
    if (!(await tryMake(writer, storage, db, fault))) lost.push(fault.oid);
  }
  await writer.sync();
  const toPush = faults.filter(({ oid, remote }) => (remote === "damaged" || remote === "missing") && !lost.includes(oid));
  // A damaged one of the right size would be taken for whole.
  if (place.remote.kind === "folder") for (const { oid } of toPush) await rm(objectPath(place.remote.folder, oid), { force: true });
  lost.push(...(await pushObjects(place, place.remote, toPush)));
  return lost;
}

/** Makes an object of the cache from what else there is. */
async function tryMake(writer: ObjectWriter, storage: StorageLayout, db: Db, { oid, bytes, of }: ObjectFault): Promise<boolean> {
  if (of.kind === "picture") {
    const file = path.join(storage.images, of.file);
    if (!(await isThere(file)) || (await hashOf(file, "md5")) !== oid) return false;
    await writer.addFile(oid, file, { bytes, replace: true });
    return true;
  }
  const text = of.kind === "list" ? of.text : labelOf((await boxesOf(db, [of.annotationId])).get(of.annotationId)!).text;
  await rm(objectPath(writer.cache, oid), { force: true });
  await writer.addText(oid, text);
  return true;
}

import { randomUUID } from "node:crypto";
import { rm } from "node:fs/promises";
import path from "node:path";
import pLimit from "p-limit";
import { sizeOf } from "../store/file-facts.ts";
import { NotTheObject, objectPath, ObjectWriter } from "./dvc-objects.ts";
import { type DvcPlace, type ObjectOnDisk, runInDvc } from "./dvc-python.ts";
import { firstTen, RemoteFailed } from "./errors.ts";
import { hide, needsOf, type Remote } from "./remote.ts";
import { makeFolders } from "../store/make-folder.ts";

/** An object, and its size where that is known. */
export interface WantedObject {
  readonly oid: string;
  readonly bytes?: number | undefined;
}

/** Files that are looked at or copied at a time. */
const concurrency = 16;

/** Objects that one process of DVC moves. */
export const chunkSize = 5000;

export interface TransferPlace extends DvcPlace {
  readonly cache: string;
}

/**
 * Puts objects of the cache on the remote; those that are there with their size stay. Returns objects that the cache lacks, or
 * has in another size: they are not put. Throws RemoteFailed, in the remote's own words, where it takes one of the others not.
 */
export async function pushObjects(place: TransferPlace, remote: Remote, wanted: readonly WantedObject[]): Promise<string[]> {
  const missing: string[] = [];
  const present: ObjectOnDisk[] = [];
  await each(wanted, async ({ oid, bytes }) => {
    const file = objectPath(place.cache, oid);
    const size = await sizeOf(file);
    if (size === undefined || (bytes !== undefined && size !== bytes)) missing.push(oid);
    else present.push([oid, file, size]);
  });
  // A `.dir` object says that all its files are there, so it goes last.
  const isDir = ([oid]: ObjectOnDisk) => oid.endsWith(".dir");
  const ordered = [...present.filter((object) => !isDir(object)), ...(missing.length === 0 ? present.filter(isDir) : [])];
  if (remote.kind === "dvc") await pushByDvc(place, remote, ordered);
  else await pushToFolder(remote.folder, ordered);
  return missing;
}

async function pushToFolder(folder: string, objects: readonly ObjectOnDisk[]): Promise<void> {
  const writer = new ObjectWriter(folder);
  const copy = async ([oid, file, bytes]: ObjectOnDisk) => writer.addFile(oid, file, { bytes, copy: true });
  try {
    await each(
      objects.filter(([oid]) => !oid.endsWith(".dir")),
      copy,
    );
    await writer.sync();
    for (const object of objects.filter(([oid]) => oid.endsWith(".dir"))) await copy(object);
    await writer.sync();
  } catch (cause) {
    throw new RemoteFailed(`the remote ${folder} does not take the objects: ${(cause as Error).message}`, { cause });
  }
}

async function pushByDvc(place: TransferPlace, remote: Remote, objects: readonly ObjectOnDisk[]): Promise<void> {
  for (let at = 0; at < objects.length; at += chunkSize) {
    const { failed } = await asRemote(remote, "push", () => runInDvc(place, { do: "push", objects: objects.slice(at, at + chunkSize) }));
    const [first] = failed;
    if (first) throw new RemoteFailed(hide(remote, `${failed.length} objects did not reach the remote ${remote.name}. Of the first, ${first[0]}: ${first[1]}`));
  }
}

/**
 * Brings objects from the remote into the cache, each under its name only when its bytes have that hash, in the place of a
 * damaged one too. Returns those that the remote does not have whole.
 */
export async function fetchObjects(place: TransferPlace, remote: Remote, wanted: readonly WantedObject[]): Promise<string[]> {
  const missing: string[] = [];
  for (let at = 0; at < wanted.length; at += chunkSize) missing.push(...(await fetchChunk(place, remote, wanted.slice(at, at + chunkSize))));
  return missing;
}

async function fetchChunk(place: TransferPlace, remote: Remote, wanted: readonly WantedObject[]): Promise<string[]> {
  const missing: string[] = [];
  const writer = new ObjectWriter(place.cache);
  const folder = path.join(place.root, ".dvc/tmp", `airloom-fetch-${randomUUID()}`);
  const fileOf = (oid: string) => (remote.kind === "folder" ? objectPath(remote.folder, oid) : path.join(folder, oid));
  try {
    if (remote.kind === "dvc") {
      await makeFolders(folder);
      const objects = wanted.map(({ oid }): ObjectOnDisk => [oid, fileOf(oid), 0]);
      await asRemote(remote, "fetch", () => runInDvc(place, { do: "fetch", objects }));
    }
    await each(wanted, async ({ oid, bytes }) => {
      const file = fileOf(oid);
      const size = await sizeOf(file);
      if (size === undefined || (bytes !== undefined && size !== bytes)) missing.push(oid);
      // What lies under the name in the cache is damaged, or it would not be wanted.
      else if (!(await takes(writer.addFile(oid, file, { bytes: size, copy: true, replace: true })))) missing.push(oid);
    });
    await writer.sync();
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
  return missing;
}

/** The sizes of those objects that a remote of DVC's has. */
export async function sizesOnRemote(place: DvcPlace, remote: Remote, objects: readonly WantedObject[]): Promise<Map<string, number>> {
  const found = new Map<string, number>();
  for (let at = 0; at < objects.length; at += chunkSize) {
    const some = objects.slice(at, at + chunkSize).map(({ oid }): ObjectOnDisk => [oid, "", 0]);
    const { sizes } = await asRemote(remote, "look at objects", () => runInDvc(place, { do: "look", objects: some }));
    for (const [oid, size] of sizes) found.set(oid, size);
  }
  return found;
}

async function takes(adding: Promise<void>): Promise<boolean> {
  return adding.then(
    () => true,
    (error: unknown) => {
      if (error instanceof NotTheObject) return false;
      throw error;
    },
  );
}

async function asRemote<T>(remote: Remote, verb: string, work: () => Promise<T>): Promise<T> {
  return work().catch((cause: unknown) => {
    const said = hide(remote, (cause as Error).message);
    throw new RemoteFailed(`DVC cannot ${verb} with the remote ${remote.name}. It says:\n${said}\n${needsOf(remote).trim()}`.trimEnd());
  });
}

/** Does something with each item, a bounded number at a time; the first failure is thrown once all that had begun have ended. */
export async function each<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const limit = pLimit(concurrency);
  const results = await Promise.allSettled(items.map(async (item) => limit(async () => work(item))));
  const failed = results.find((result) => result.status === "rejected");
  if (failed) throw failed.reason;
}

/** "12 objects (a, b, …)". */
export const named = (oids: readonly string[]): string => `${oids.length} object${oids.length === 1 ? "" : "s"} (${firstTen(oids)})`;

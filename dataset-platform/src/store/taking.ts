import { randomUUID } from "node:crypto";
import { lstat, readdir, rm, rmdir } from "node:fs/promises";
import path from "node:path";
import type { HeldNames } from "../registry/held-names.ts";
import { tryLink } from "./atomic-write.ts";
import { isSourceId, type Place } from "./incoming-files.ts";
import { type Look, lookOf } from "./settled.ts";
import { makeFolders } from "./make-folder.ts";

/**
 * How a run makes files its own: it renames them into `.taking/<source>/<uuid>/` of the same folder, where no camera writes
 * over them and no other run looks, unless this one is dead. A run holds the name of its folder in the registry while it
 * lives. Were that ever lost, two runs would do the same work on the same file, and each step is the same done twice.
 */
const takingFolder = ".taking";
/** Beneath a run's folder: what it has unpacked, which can be unpacked again. */
export const unpackedFolder = ".unpacked";

/** A file on its way: where it is or was, and where it is ours. */
export interface Candidate {
  readonly place: Place;
  readonly sourceId: string;
  /** Relative to the place. */
  readonly name: string;
  /** Where it waits in `incoming/`. */
  readonly from: string | Buffer;
  readonly taken: string;
  /** It stands in `taken` already. */
  readonly isTaken: boolean;
  /** Out of an archive, whose name `name` begins with: it is never handed back, the archive is. */
  readonly isUnpacked: boolean;
}

/** A run's folder in a place; made anew, so that its time is the volume's own clock. */
export async function makeTaking(place: Place, sourceId: string, names: HeldNames): Promise<{ folder: string; nowMs: number }> {
  const id = randomUUID();
  await names.tryHold(lockName(id));
  await checkNoLink(place);
  const folder = path.join(place.folder, takingFolder, sourceId, id);
  // Another run that ends may remove an empty folder above it meanwhile.
  for (let tries = 1; ; tries++)
    try {
      await makeFolders(folder);
      const { mtimeMs } = lookOf(await lstat(folder));
      return { folder, nowMs: mtimeMs };
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT" || tries > 10) throw error;
    }
}

const lockName = (id: string) => `ingest ${id}`;

async function checkNoLink(place: Place): Promise<void> {
  const stats = await lstat(path.join(place.folder, takingFolder)).catch(() => undefined);
  if (stats && !stats.isDirectory()) throw new Error(`${path.join(place.folder, takingFolder)} must be a folder that ingest makes itself: remove it`);
}

export interface Leftovers {
  readonly files: readonly Candidate[];
  readonly folders: readonly string[];
}

/** What runs that are over had taken in a place and not brought to its end; it is this run's now. */
export async function adoptLeftovers(place: Place, names: HeldNames): Promise<Leftovers> {
  const files: Candidate[] = [];
  const folders: string[] = [];
  await checkNoLink(place);
  for await (const { sourceId, folder } of foldersOfTheDead(place, names)) {
    folders.push(folder);
    await rm(path.join(folder, unpackedFolder), { recursive: true, force: true });
    for (const taken of await filesBeneath(folder)) {
      const name = path.relative(folder, taken);
      files.push({ place, sourceId, name, from: path.join(place.folder, name), taken, isTaken: true, isUnpacked: false });
    }
  }
  return { files, folders };
}

/** Files that runs which are over have left in a place: the next run takes them up. */
export async function leftInTaking(place: Place, names: HeldNames): Promise<string[]> {
  const files: string[] = [];
  for await (const { folder } of foldersOfTheDead(place, names)) files.push(...(await filesBeneath(folder)));
  return files;
}

/** Folders of runs that do not live; their names are held from now on. */
async function* foldersOfTheDead(place: Place, names: HeldNames): AsyncGenerator<{ sourceId: string; folder: string }> {
  const root = path.join(place.folder, takingFolder);
  for (const sourceId of await namesIn(root)) {
    if (!isSourceId(sourceId)) continue;
    for (const id of await namesIn(path.join(root, sourceId))) if (await names.tryHold(lockName(id))) yield { sourceId, folder: path.join(root, sourceId, id) };
  }
}

async function filesBeneath(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => []);
  return entries.filter((entry) => entry.isFile()).map((entry) => path.join(entry.parentPath, entry.name));
}

const namesIn = (folder: string) =>
  readdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT" || error.code === "ENOTDIR") return [];
    throw error;
  });

/** Puts a file back where its writer or user looks for it; where something else stands there by now, the next run takes it up from here. */
export async function handBack({ taken, from }: Candidate): Promise<void> {
  try {
    if (await tryLink(taken, from)) await rm(taken, { force: true });
  } catch (error) {
    if (!["EEXIST", "ENOENT"].includes((error as NodeJS.ErrnoException).code ?? "")) throw error;
  }
}

/** Removes the empty folders of a run; what still holds something stays for the next. */
export async function removeEmpty(folder: string): Promise<void> {
  await rm(path.join(folder, unpackedFolder), { recursive: true, force: true });
  for (const entry of await readdir(folder, { withFileTypes: true }).catch(() => []))
    if (entry.isDirectory()) await removeEmptyTree(path.join(folder, entry.name));
  const source = path.dirname(folder);
  for (const one of [folder, source, path.dirname(source)]) await rmdir(one).catch(() => undefined);
}

async function removeEmptyTree(folder: string): Promise<void> {
  for (const entry of await readdir(folder, { withFileTypes: true }).catch(() => []))
    if (entry.isDirectory()) await removeEmptyTree(path.join(folder, entry.name));
  await rmdir(folder).catch(() => undefined);
}

/** A file as `settle` left it. */
export interface Settled extends Candidate {
  readonly look: Look;
  /** Its place among the files of the run. */
  readonly order: number;
}

import { randomUUID } from "node:crypto";
import { constants } from "node:fs";
import { chmod, copyFile, link, open, rename, rm } from "node:fs/promises";
import path from "node:path";
import { makeFolders } from "./make-folder.ts";

/** Writes a file so that a reader, or a crash, meets the old one or the whole new one: temporary name, sync, rename. */
export async function atomicWrite(file: string, data: string | Uint8Array, mode = 0o644): Promise<void> {
  await placeAsides([await writeAside(file, data, mode)]);
}

export interface PlaceOptions {
  readonly mode?: number;
  /** Whether one inode may stand under both names, so that the mode, and later writes, are both names'. @default false */
  readonly hardLink?: boolean;
  /** Looks at the bytes under their temporary name and throws where they are not what `target` stands for. */
  readonly check?: (temporary: string) => Promise<void>;
}

/** Puts the bytes of `source` under `target` as well, as whole and as lasting as `atomicWrite` does: linked where that is allowed and possible, else copied. */
export async function placeFile(source: string, target: string, { mode = 0o644, hardLink = false, check }: PlaceOptions = {}): Promise<void> {
  const aside = await makeAside(target, async (temporary) => {
    if (!hardLink || !(await tryLink(source, temporary))) await copyFile(source, temporary, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE);
    await chmod(temporary, mode);
    await check?.(temporary);
  });
  await placeAsides([aside]);
  // Renaming one link of a file onto another of the same file leaves both.
  if (hardLink) await rm(aside.temporary!, { force: true });
}

/** Bytes that stand whole beside where they belong, and do not last yet. */
export interface Aside {
  readonly target: string;
  /** Undefined where the target stands already, put there by another whose folder may not be synced. */
  readonly temporary: string | undefined;
  /** Folders that hold a new name: the target's own, and those above it that were made. */
  readonly folders: readonly string[];
}

/** Writes bytes under a temporary name; `placeAsides` puts many in place for little more than one. */
export async function writeAside(target: string, data: string | Uint8Array, mode = 0o644): Promise<Aside> {
  return makeAside(target, async (temporary) => {
    const handle = await open(temporary, "wx", mode);
    try {
      await handle.writeFile(data);
    } finally {
      await handle.close();
    }
  });
}

async function makeAside(target: string, make: (temporary: string) => Promise<void>): Promise<Aside> {
  const folder = path.dirname(target);
  const folders = [...(await makeUnsynced(folder)), folder];
  // Random, since other machines may write here; short, since it must fit wherever `target` does.
  const temporary = path.join(folder, `.${randomUUID()}.tmp`);
  try {
    await make(temporary);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  return { target, temporary, folders };
}

/**
 * The one way that bytes take to their names: all are synced, then renamed, then each folder is synced once. Together,
 * since a volume's journal takes many in one step.
 */
export async function placeAsides(asides: readonly Aside[]): Promise<void> {
  const written = asides.filter((aside): aside is Aside & { temporary: string } => aside.temporary !== undefined);
  try {
    await allOf(written.map(({ temporary }) => syncFile(temporary)));
    for (const { temporary, target } of written) await rename(temporary, target);
  } catch (error) {
    for (const { temporary } of written) await rm(temporary, { force: true });
    throw error;
  }
  await allOf([...new Set(asides.flatMap(({ folders }) => folders))].map(syncFolder));
}

/** Waits until all have ended, and throws what the first that failed has thrown. */
async function allOf(works: readonly Promise<void>[]): Promise<void> {
  const failed = (await Promise.allSettled(works)).find((result) => result.status === "rejected");
  if (failed) throw failed.reason;
}

/** Makes a folder and those above it, so that they outlive a power cut. */
export async function makeFolder(folder: string): Promise<void> {
  for (const parent of await makeUnsynced(folder)) await syncFolder(parent);
}

/** Makes a folder and those above it; the folders that hold the new names. */
async function makeUnsynced(folder: string): Promise<string[]> {
  const first = await makeFolders(folder);
  if (first === undefined) return [];
  const top = path.dirname(path.resolve(first));
  const parents: string[] = [];
  for (let parent = path.dirname(path.resolve(folder)); ; parent = path.dirname(parent)) {
    parents.push(parent);
    if (parent === top || parent === path.dirname(parent)) return parents;
  }
}

/** What volumes answer that know no hard links, no more links of this file, or are two volumes. */
const noLink = new Set(["EXDEV", "EPERM", "EMLINK", "ENOSYS", "ENOTSUP", "EOPNOTSUPP", "EACCES"]);

/** Gives a file a second name, unless its volume cannot (false). An existing name is never replaced: EEXIST. */
export async function tryLink(file: string, name: string | Buffer): Promise<boolean> {
  try {
    await link(file, name);
    return true;
  } catch (error) {
    if (noLink.has((error as NodeJS.ErrnoException).code ?? "")) return false;
    throw error;
  }
}

async function syncFile(file: string): Promise<void> {
  const handle = await open(file, "r");
  try {
    await handle.datasync();
  } finally {
    await handle.close();
  }
}

/** Makes renames within the folder outlive a power cut. */
export async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, "r");
  try {
    await handle.sync();
  } catch (error) {
    // Some network volumes know no sync of a folder; there is nothing else to ask of them.
    if (!["EINVAL", "ENOTSUP", "EOPNOTSUPP"].includes((error as NodeJS.ErrnoException).code ?? "")) throw error;
  } finally {
    await handle.close();
  }
}

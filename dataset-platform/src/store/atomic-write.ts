import { randomUUID } from "node:crypto";
import { constants } from "node:fs";
import { chmod, copyFile, link, mkdir, open, rename, rm } from "node:fs/promises";
import path from "node:path";

/** Writes a file so that a reader, or a crash, meets the old one or the whole new one: temporary name, sync, rename. */
export async function atomicWrite(file: string, data: string | Uint8Array, mode = 0o644): Promise<void> {
  await putInPlace(file, async (temporary) => {
    const handle = await open(temporary, "wx", mode);
    try {
      await handle.writeFile(data);
      await handle.datasync();
    } finally {
      await handle.close();
    }
  });
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
  await putInPlace(target, async (temporary) => {
    if (!hardLink || !(await tryLink(source, temporary))) await copyFile(source, temporary, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE);
    await chmod(temporary, mode);
    await check?.(temporary);
    const handle = await open(temporary, "r");
    try {
      // A link too: who wrote the bytes under the first name may not have synced them.
      await handle.datasync();
    } finally {
      await handle.close();
    }
  });
}

/** The one way that bytes take to a name: made under a random name beside it, renamed, and the folder synced. */
async function putInPlace(target: string, make: (temporary: string) => Promise<void>): Promise<void> {
  const folder = path.dirname(target);
  await makeFolder(folder);
  // Random, since other machines may write here; short, since it must fit wherever `target` does.
  const temporary = path.join(folder, `.${randomUUID()}.tmp`);
  try {
    await make(temporary);
    await rename(temporary, target);
  } finally {
    // Also after a success: renaming one link of a file onto another of the same file leaves both.
    await rm(temporary, { force: true });
  }
  await syncFolder(folder);
}

/** Makes a folder and those above it, so that they outlive a power cut. */
export async function makeFolder(folder: string): Promise<void> {
  const first = await mkdir(folder, { recursive: true });
  if (first === undefined) return;
  const top = path.dirname(path.resolve(first));
  for (let parent = path.dirname(path.resolve(folder)); ; parent = path.dirname(parent)) {
    await syncFolder(parent);
    if (parent === top || parent === path.dirname(parent)) return;
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

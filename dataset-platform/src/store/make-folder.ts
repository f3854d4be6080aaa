import { mkdir, stat } from "node:fs/promises";
import path from "node:path";

/**
 * Makes a folder and those above it that are missing; the topmost that was made, or undefined where all were there. Node's own
 * `mkdir` with `recursive` answers ENOENT where the disk is full or read-only, which sends people looking in the wrong place:
 * this throws what the system said.
 */
export async function makeFolders(folder: string, mode?: number): Promise<string | undefined> {
  const options = { recursive: true, ...(mode === undefined ? {} : { mode }) } as const;
  try {
    return await mkdir(folder, options);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    const missing = await topmostMissing(path.resolve(folder));
    await mkdir(missing, mode).catch((cause: NodeJS.ErrnoException) => {
      if (cause.code !== "EEXIST") throw cause;
    });
    await mkdir(folder, options);
    return missing;
  }
}

async function topmostMissing(folder: string): Promise<string> {
  let missing = folder;
  for (let parent = path.dirname(folder); parent !== path.dirname(parent) && !(await isThere(parent)); parent = path.dirname(parent)) missing = parent;
  return missing;
}

const isThere = (folder: string) =>
  stat(folder).then(
    () => true,
    () => false,
  );

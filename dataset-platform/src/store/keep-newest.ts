import { randomUUID } from "node:crypto";
import { readdir, rename, rm, stat } from "node:fs/promises";
import path from "node:path";

/** The name under which an entry is removed; none that anybody gives is like it. */
const doomedName = /^\.[0-9a-f-]{36}\.tmp$/;

/**
 * Removes all but the `count` newest entries of a folder of things that can be made again. Ended anywhere and done again, it
 * keeps the same ones, and all of them whole.
 */
export async function keepNewest(folder: string, count: number): Promise<void> {
  const names = await readdir(folder);
  const doomed = names.filter((name) => doomedName.test(name));
  const aged: { name: string; at: number }[] = [];
  for (const name of names) {
    const info = doomedName.test(name) ? undefined : await stat(path.join(folder, name)).catch(ignoreGone);
    if (info) aged.push({ name, at: info.mtimeMs });
  }
  for (const { name } of aged.toSorted((a, b) => b.at - a.at).slice(count)) {
    // Under another name first: a folder that has lost some of its files is half, and by its time the newest of all.
    const other = `.${randomUUID()}.tmp`;
    await rename(path.join(folder, name), path.join(folder, other)).catch(ignoreGone);
    doomed.push(other);
  }
  for (const name of doomed) await rm(path.join(folder, name), { recursive: true, force: true });
}

/** Two that do this at once are in no other's way. */
function ignoreGone(error: NodeJS.ErrnoException): undefined {
  if (error.code !== "ENOENT") throw error;
}

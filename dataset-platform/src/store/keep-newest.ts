import { readdir, rm, stat } from "node:fs/promises";
import path from "node:path";

/** Removes all but the `count` newest entries of a folder of things that can be made again. */
export async function keepNewest(folder: string, count: number): Promise<void> {
  const names = await readdir(folder);
  const aged = await Promise.all(names.map(async (name) => ({ file: path.join(folder, name), at: (await stat(path.join(folder, name))).mtimeMs })));
  for (const { file } of aged.toSorted((a, b) => b.at - a.at).slice(count)) await rm(file, { recursive: true, force: true });
}

import { readdir, rm, stat } from "node:fs/promises";
import path from "node:path";
import type { StorageLayout } from "../store/layout.ts";
import type { Problem } from "./problem.ts";

/** Nobody writes one file for as long. */
const oldMs = 24 * 3_600_000;

const temporaryName = /^\.[0-9a-f]{8}-[0-9a-f-]{27}\.tmp$/;

/** What programs that were killed had begun to write: files under temporary names, a day old and more. */
async function* halfWritten({ root, images }: StorageLayout, nowMs = Date.now()): AsyncGenerator<{ file: string; bytes: number }> {
  for (const folder of [images, path.join(root, ".dvc/cache"), path.join(root, ".remote")]) {
    for await (const file of temporaryFilesBeneath(folder)) {
      const stats = await stat(file).catch(() => undefined);
      if (stats?.isFile() && nowMs - stats.mtimeMs > oldMs) yield { file, bytes: stats.size };
    }
  }
}

async function* temporaryFilesBeneath(folder: string): AsyncGenerator<string> {
  const entries = await readdir(folder, { withFileTypes: true }).catch(() => []);
  for (const entry of entries) {
    const file = path.join(folder, entry.name);
    if (entry.isDirectory()) yield* temporaryFilesBeneath(file);
    else if (temporaryName.test(entry.name)) yield file;
  }
}

export async function* problemsOfHalfWritten(storage: StorageLayout): AsyncGenerator<Problem> {
  for await (const { file, bytes } of halfWritten(storage))
    yield { rule: "nothing-half-written", subject: file, what: `(${bytes} bytes) is what a program that was killed had begun to write` };
}

/** Removes them; returns how many there were. */
export async function removeHalfWritten(storage: StorageLayout): Promise<number> {
  let removed = 0;
  for await (const { file } of halfWritten(storage)) {
    await rm(file, { force: true });
    removed++;
  }
  return removed;
}

import { lstat } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import pLimit from "p-limit";

/** What tells one state of a file from another without reading it. */
export interface Look {
  readonly isFile: boolean;
  readonly bytes: number;
  readonly mtimeMs: number;
  readonly ctimeMs: number;
  readonly inode: number;
}

/** What was not touched for so long needs no second look. */
export const quietMs = 60_000;
/** How many looks are under way at once. */
const looksAtOnce = 16;

export const lookOf = (stats: { isFile(): boolean; size: number; mtimeMs: number; ctimeMs: number; ino: number }): Look => ({
  isFile: stats.isFile(),
  bytes: stats.size,
  mtimeMs: stats.mtimeMs,
  ctimeMs: stats.ctimeMs,
  inode: stats.ino,
});

/** Whether it is the same file, and nobody has written to it in between. A rename changes ctime alone. */
export const isUnchanged = (before: Look, now: Look): boolean =>
  now.isFile && before.inode === now.inode && before.bytes === now.bytes && before.mtimeMs === now.mtimeMs;

/** Whether a file's last write may still be followed by another; a clock that is far ahead tells nothing. */
export const isYounger = (look: Look, thanMs: number, nowMs: number): boolean => Math.abs(nowMs - look.mtimeMs) < thanMs;

/**
 * Sorts files into those whose writing has ended and those that are still written: what was touched in the last minute must
 * look the same twice, `settleMs` apart. Files that are gone, another run's, are in neither. One pause serves all.
 */
export async function settle<T>(
  files: readonly T[],
  pathOf: (file: T) => string | Buffer,
  { settleMs, nowMs, signal }: { settleMs: number; nowMs: number; signal: AbortSignal | undefined },
): Promise<{ settled: { file: T; look: Look }[]; moving: T[] }> {
  const looked = await lookAtAll(files, pathOf, signal);
  // A copy may set the time of its original: ctime, which nobody can set, counts as well.
  const isQuiet = ({ look }: { look: Look }) => Math.max(look.mtimeMs, look.ctimeMs) < nowMs - quietMs;
  const young = looked.filter((one) => !isQuiet(one));
  if (young.length === 0) return { settled: looked, moving: [] };
  await sleep(settleMs, undefined, signal && { signal });
  const again = new Map(
    (
      await lookAtAll(
        young.map(({ file }) => file),
        pathOf,
        signal,
      )
    ).map(({ file, look }) => [file, look]),
  );
  const settled: { file: T; look: Look }[] = [];
  const moving: T[] = [];
  for (const { file, look } of looked) {
    const second = isQuiet({ look }) ? look : again.get(file);
    if (second === undefined) continue;
    if (isUnchanged(look, second)) settled.push({ file, look: second });
    else moving.push(file);
  }
  return { settled, moving };
}

async function lookAtAll<T>(files: readonly T[], pathOf: (file: T) => string | Buffer, signal?: AbortSignal): Promise<{ file: T; look: Look }[]> {
  const limit = pLimit(looksAtOnce);
  const looks = await Promise.all(
    files.map((file) =>
      limit(async () => {
        signal?.throwIfAborted();
        const stats = await lstat(pathOf(file)).catch(() => undefined);
        return stats && { file, look: lookOf(stats) };
      }),
    ),
  );
  return looks.filter((one) => one !== undefined);
}

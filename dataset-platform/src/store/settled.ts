import { lstatSync } from "node:fs";
import { setImmediate as nextTurn, setTimeout as sleep } from "node:timers/promises";

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
/** So many files are looked at before anything else has its turn. */
const looksAtOnce = 256;

export const lookOf = (stats: { isFile(): boolean; size: number; mtimeMs: number; ctimeMs: number; ino: number }): Look => ({
  isFile: stats.isFile(),
  bytes: stats.size,
  mtimeMs: stats.mtimeMs,
  ctimeMs: stats.ctimeMs,
  inode: stats.ino,
});

/** Whether two looks saw the same file, whatever was written to it in between. */
export const isSameFile = (before: Look, now: Look): boolean => before.inode === now.inode;

/** Whether it is the same file, and nobody has written to it in between. A rename changes ctime alone. */
export const isUnchanged = (before: Look, now: Look): boolean =>
  now.isFile && isSameFile(before, now) && before.bytes === now.bytes && before.mtimeMs === now.mtimeMs;

/** Whether a file's last write may still be followed by another; a clock that is far ahead tells nothing. */
export const isYounger = (look: Look, thanMs: number, nowMs: number): boolean => Math.abs(nowMs - look.mtimeMs) < thanMs;

/** Files by what two looks at them tell. Those that are gone, another run's, are in none. */
export interface Looked<T> {
  /** Their writing has ended. */
  readonly settled: { readonly file: T; readonly look: Look }[];
  /** They are still written. */
  readonly moving: T[];
  /** They cannot be looked at. */
  readonly closed: { readonly file: T; readonly why: string }[];
}

/** Looks at files, and again `settleMs` later at those that were touched in the last minute. One pause serves all. */
export async function settle<T>(
  files: readonly T[],
  pathOf: (file: T) => string | Buffer,
  { settleMs, nowMs, signal }: { settleMs: number; nowMs: number; signal: AbortSignal | undefined },
): Promise<Looked<T>> {
  const first = await lookAtAll(files, pathOf, signal);
  // A copy may set the time of its original: ctime, which nobody can set, counts as well.
  const isQuiet = (look: Look) => Math.max(look.mtimeMs, look.ctimeMs) < nowMs - quietMs;
  const young = [...first.looks].filter(([, look]) => !isQuiet(look)).map(([file]) => file);
  if (young.length > 0) await sleep(settleMs, undefined, signal && { signal });
  const second = await lookAtAll(young, pathOf, signal);
  const result: Looked<T> = { settled: [], moving: [], closed: [...first.closed, ...second.closed] };
  for (const [file, look] of first.looks) {
    const now = isQuiet(look) ? look : second.looks.get(file);
    if (now === undefined) continue;
    if (isUnchanged(look, now)) result.settled.push({ file, look: now });
    else result.moving.push(file);
  }
  return result;
}

/** Synchronous, some at a time: a tenth of the cost of as many promises, and signals are heard in between. */
async function lookAtAll<T>(files: readonly T[], pathOf: (file: T) => string | Buffer, signal?: AbortSignal) {
  const looks = new Map<T, Look>();
  const closed: { file: T; why: string }[] = [];
  for (const [i, file] of files.entries()) {
    if (i % looksAtOnce === 0) {
      await nextTurn();
      signal?.throwIfAborted();
    }
    try {
      const stats = lstatSync(pathOf(file), { throwIfNoEntry: false });
      if (stats) looks.set(file, lookOf(stats));
    } catch (error) {
      closed.push({ file, why: (error as Error).message });
    }
  }
  return { looks, closed };
}

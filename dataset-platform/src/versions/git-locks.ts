import { lstat, readFile, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Git } from "./git.ts";

/** Stands while a Git of ours may hold locks, and names them. One that is killed leaves both, and no other Git takes a lock that is there. */
const markName = "airloom-locking";
/** A lock of ours is taken so soon after the mark; a younger one is somebody else's. */
const mostApartMs = 10_000;
/** A Git whose caller was killed may live on: a lock that is the same after this has nobody. */
const patienceMs = 1000;

/**
 * Runs a Git command that takes these locks, paths within `.git`, and first removes those that a killed one of ours has left.
 * Those of other people's Git stay. Needs the commit lock, so that one runs at a time.
 */
export async function runLocking(git: Git, args: readonly string[], locks: readonly string[]): Promise<void> {
  const mark = path.join(await git.run(["rev-parse", "--absolute-git-dir"]), markName);
  await removeLeft(git, mark);
  await writeFile(mark, locks.join("\n"));
  try {
    await git.run(args);
  } finally {
    await rm(mark, { force: true });
  }
}

async function removeLeft(git: Git, mark: string): Promise<void> {
  const marked = await tryLook(mark);
  if (!marked) return;
  const names = (await readFile(mark, "utf8")).split("\n").filter((name) => name !== "");
  for (const name of names) {
    const lock = path.resolve(git.folder, await git.run(["rev-parse", "--git-path", name]));
    const left = await tryLook(lock);
    if (!left || left.mtimeMs < marked.mtimeMs - mostApartMs || left.mtimeMs > marked.mtimeMs + mostApartMs) continue;
    await sleep(patienceMs);
    if ((await tryLook(lock))?.ino === left.ino) await rm(lock, { force: true });
  }
}

const tryLook = (file: string) =>
  lstat(file).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return undefined;
    throw error;
  });

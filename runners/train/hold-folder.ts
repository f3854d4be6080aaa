import { spawn } from "node:child_process";
import { createHash, randomUUID } from "node:crypto";
import { mkdir, open, readdir, readFile, rm } from "node:fs/promises";
import path from "node:path";
import type { RunInfo } from "airloom";
import { atomicWrite } from "@airloom/dataset-platform/store/atomic-write.ts";

type Run = Pick<RunInfo, "dagId" | "runId" | "taskId" | "mapIndex" | "tryNumber">;

/** A training folder that is this try's alone. */
export interface HeldFolder {
  readonly folder: string;
  /** Aborted when a newer try asks for the folder. */
  readonly lost: AbortSignal;
  release(): Promise<void>;
}

const readableCharacters = 150;
const lookEveryMs = 1000;
/** Longer than a try may take to save its state once it was told to stop. */
const lockWaitSeconds = 120;
const own = { lock: "lock", fence: "try.json" } as const;

/**
 * The name of a task's folder: readable, and another for each DAG, run, task and map index. `dag__run__task`, for a mapped one
 * `__index` more, what is not a letter, digit, "_", "." or "-" as "_", then "-" and ten hex digits of all four.
 */
export function trainingFolderName({ dagId, runId, taskId, mapIndex }: Omit<Run, "tryNumber">): string {
  const digest = createHash("sha256")
    .update(JSON.stringify([dagId, runId, taskId, mapIndex]))
    .digest("hex");
  const parts = [dagId, runId, taskId, ...(mapIndex >= 0 ? [String(mapIndex)] : [])];
  return `${parts
    .join("__")
    .replaceAll(/[^\w.-]+/g, "_")
    .slice(0, readableCharacters)}-${digest.slice(0, 10)}`;
}

/**
 * The folder of all tries of a task, held by this one. A try that Airflow believes dead, and that lives, is told to stop; the
 * folder is this one's when it has. What a run left that was deleted and triggered again under its name is removed.
 */
export async function holdTrainingFolder(parent: string, run: Run): Promise<HeldFolder> {
  const folder = path.join(parent, trainingFolderName(run));
  await mkdir(folder, { recursive: true });
  const fence = path.join(folder, own.fence);
  const newest = await readFence(fence);
  if (newest && newest.tryNumber > run.tryNumber)
    throw new Error(`try ${newest.tryNumber} of this task has taken over ${folder}: this one, try ${run.tryNumber}, must not go on beside it`);
  const token = randomUUID();
  await atomicWrite(fence, JSON.stringify({ tryNumber: run.tryNumber, token }));
  const unlock = await lock(path.join(folder, own.lock));
  const lost = new AbortController();
  const look = async () => {
    const now = await readFence(fence);
    if (now?.token !== token) lost.abort(new Error(`try ${now?.tryNumber ?? "?"} of this task has taken over ${folder}`));
  };
  try {
    await look();
    lost.signal.throwIfAborted();
    if (run.tryNumber === 1) await empty(folder);
  } catch (error) {
    await unlock();
    throw error;
  }
  // A read that fails says nothing: the next one will.
  const timer = setInterval(() => void look().catch(() => undefined), lookEveryMs);
  return {
    folder,
    lost: lost.signal,
    async release() {
      clearInterval(timer);
      await unlock();
    },
  };
}

async function readFence(file: string): Promise<{ readonly tryNumber: number; readonly token: string } | undefined> {
  const text = await readFile(file, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return undefined;
    throw error;
  });
  return text === undefined ? undefined : (JSON.parse(text) as { tryNumber: number; token: string });
}

async function empty(folder: string): Promise<void> {
  const kept: readonly string[] = Object.values(own);
  for (const name of await readdir(folder)) if (!kept.includes(name)) await rm(path.join(folder, name), { recursive: true, force: true });
}

/** Takes the lock of a file, which ends with the process at the latest. */
async function lock(file: string): Promise<() => Promise<void>> {
  const handle = await open(file, "a");
  const code = await new Promise<number | null>((resolve, reject) => {
    // The child locks the open file that it shares with us; the lock lives as long as our handle.
    const child = spawn("flock", ["--exclusive", "--wait", String(lockWaitSeconds), "3"], { stdio: ["ignore", "ignore", "ignore", handle.fd] });
    child.on("error", reject);
    child.on("close", resolve);
  });
  if (code === 0) return () => handle.close();
  await handle.close();
  throw new Error(`an earlier try of this task still holds ${file}, ${lockWaitSeconds} s after it was told to stop: is its process frozen?`);
}

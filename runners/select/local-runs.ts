import { createHash } from "node:crypto";
import { mkdir, readFile } from "node:fs/promises";
import { hostname } from "node:os";
import path from "node:path";
import type { RunInfo } from "airloom";
import { atomicWrite } from "@airloom/dataset-platform/store/atomic-write.ts";
import type { StorageLayout } from "@airloom/dataset-platform/store/layout.ts";

type Run = Pick<RunInfo, "dagId" | "runId">;

/** Runs of `airloom run`, which no Airflow knows. */
export const isLocal = (runId: string): boolean => runId.startsWith("local__");

/** Notes of which process does which local run, in the storage folder. */
export interface LocalRuns {
  /** Notes that this process does the run. */
  begin(run: Run): Promise<void>;
  /** Whether the run's process has ended. One of another machine, or without a note, is taken to go on. */
  isOver(run: Run): Promise<boolean>;
}

export function localRuns(storage: Pick<StorageLayout, "private">): LocalRuns {
  const fileOf = ({ dagId, runId }: Run) => {
    const name = createHash("sha256")
      .update(JSON.stringify([dagId, runId]))
      .digest("hex");
    return path.join(storage.private, "local-runs", `${name}.json`);
  };
  return {
    async begin(run) {
      const file = fileOf(run);
      await mkdir(path.dirname(file), { recursive: true });
      await atomicWrite(file, JSON.stringify({ host: hostname(), pid: process.pid }));
    },
    async isOver(run) {
      const text = await readFile(fileOf(run), "utf8").catch((error: NodeJS.ErrnoException) => {
        if (error.code === "ENOENT") return undefined;
        throw error;
      });
      if (text === undefined) return false;
      const { host, pid } = JSON.parse(text) as { host: string; pid: number };
      return host === hostname() && !isAlive(pid);
    },
  };
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // EPERM: it is there, and another user's.
    return (error as NodeJS.ErrnoException).code !== "ESRCH";
  }
}

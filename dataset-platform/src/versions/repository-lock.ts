import { spawn } from "node:child_process";
import { type FileHandle, open, readFile } from "node:fs/promises";
import { sql } from "kysely";
import type { Db } from "../registry/database.ts";
import { type HeldLock, locks, withLock } from "../registry/locks.ts";

/** Where news of a long step go: a task's log, or a terminal. */
export interface News {
  info(message: string): void;
  warn(message: string): void;
}

/** After so long in vain, the log says who is waited for. */
const patienceMs = 5000;

/** Does `work` while no other program commits to the repository, on any machine; waits as long as another does. */
export async function whileCommitting<T>(db: Db, news: News, work: (held: HeldLock) => Promise<T>): Promise<T> {
  const timer = setTimeout(() => void holderOfCommitLock(db).then((who) => news.info(`waiting until ${who} has ended its commit`)), patienceMs);
  try {
    return await withLock(db, "commit", async (held) => {
      clearTimeout(timer);
      return work(held);
    });
  } finally {
    clearTimeout(timer);
  }
}

async function holderOfCommitLock(db: Db): Promise<string> {
  const { rows } = await sql<{ pid: number; address: string | null; since: string }>`
    select pid, coalesce(client_addr::text, 'this machine') as address, to_char(backend_start, 'YYYY-MM-DD HH24:MI:SS TZ') as since
    from pg_locks join pg_stat_activity using (pid)
    where locktype = 'advisory' and objid = ${locks.commit} and objsubid = 2 and granted
      and database = (select oid from pg_database where datname = current_database())`
    .execute(db)
    .catch(() => ({ rows: [] }));
  const [holder] = rows;
  return holder ? `another run (PostgreSQL connection ${holder.pid} from ${holder.address}, since ${holder.since})` : "another run";
}

/**
 * Takes DVC's own repository lock (flock on .dvc/tmp/lock), so that no dvc command meets half a change, and waits as long as
 * one runs. Ends with the process, however that ends.
 */
export async function lockDvc(file: string, news: News): Promise<() => Promise<void>> {
  const handle = await open(file, "a");
  try {
    if (!(await flock(handle, ["--timeout", String(patienceMs / 1000)]))) {
      // DVC writes its process id into the file.
      const holder = (await readFile(file, "utf8")).trim();
      news.info(`waiting for a dvc command in this repository to end${/^\d+$/.test(holder) ? ` (process ${holder})` : ""}: it holds ${file}`);
      if (!(await flock(handle, []))) throw new Error(`${file} cannot be locked: does its volume support flock?`);
    }
  } catch (error) {
    await handle.close();
    throw error;
  }
  return () => handle.close();
}

async function flock(handle: FileHandle, options: readonly string[]): Promise<boolean> {
  return new Promise((resolve, reject) => {
    // The child locks the open file that it shares with us; the lock lives as long as our handle.
    const child = spawn("flock", ["--exclusive", ...options, "3"], { stdio: ["ignore", "ignore", "ignore", handle.fd] });
    child.on("error", reject);
    child.on("close", (code) => resolve(code === 0));
  });
}

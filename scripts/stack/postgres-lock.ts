import { existsSync, readdirSync, readFileSync, readlinkSync, realpathSync, rmSync } from "node:fs";
import path from "node:path";

/**
 * Waits until no PostgreSQL uses a data folder, and takes away the lock of one that was killed.
 * @throws {Error} if one runs there
 */
export async function waitUntilFree(data: string): Promise<void> {
  const lock = path.join(data, "postmaster.pid");
  if (!existsSync(lock) || !existsSync("/proc/self")) return;
  const pid = readFileSync(lock, "utf8").split("\n")[0]?.trim() ?? "";
  // A killed server's sessions notice and end by themselves; until then they hold the shared memory.
  for (const deadline = Date.now() + 10_000; ;) {
    const users = usersOf(data);
    if (users.includes(pid))
      throw new Error(`a PostgreSQL (pid ${pid}) already serves ${data}: end the \`npm start\` that it belongs to, or it: kill -INT ${pid}`);
    if (users.length === 0 || Date.now() > deadline) break;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  // PostgreSQL takes the lock for its own where any program of the same user has got that number since.
  if (nameOf(pid) !== "postgres") rmSync(lock, { force: true });
}

/** The ids of PostgreSQL's processes in a data folder, which is their working directory. */
function usersOf(data: string): string[] {
  const folder = realpathSync(data);
  return readdirSync("/proc").filter((pid) => {
    try {
      return /^\d+$/.test(pid) && nameOf(pid) === "postgres" && readlinkSync(`/proc/${pid}/cwd`) === folder;
    } catch {
      return false;
    }
  });
}

function nameOf(pid: string): string | undefined {
  try {
    return readFileSync(`/proc/${pid}/comm`, "utf8").trim();
  } catch {
    return undefined;
  }
}

import { readdirSync, readFileSync } from "node:fs";

/** A process of this machine. */
interface ProcessInfo {
  readonly pid: number;
  readonly args: readonly string[];
  /** A process that has ended, and that its parent has not asked about. */
  readonly zombie: boolean;
}

/** All that runs below some processes: their children, the children of those, and so on. Read from /proc. */
export function descendantsOf(pids: readonly number[]): ProcessInfo[] {
  const all = readdirSync("/proc").flatMap((name) => (/^\d+$/.test(name) ? (tryRead(Number(name)) ?? []) : []));
  const found: ProcessInfo[] = [];
  for (let parents = new Set(pids); parents.size > 0;) {
    const children = all.filter(({ parent }) => parents.has(parent));
    found.push(...children);
    parents = new Set(children.map(({ pid }) => pid));
  }
  return found;
}

/** A process, unless it has ended meanwhile. */
function tryRead(pid: number): (ProcessInfo & { readonly parent: number }) | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    // The second field is the program's name in parentheses, which may hold spaces and parentheses itself.
    const [state, parent] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    const args = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0").filter(Boolean);
    return { pid, parent: Number(parent), args, zombie: state === "Z" };
  } catch {
    return undefined;
  }
}

/** Whether a process is there and has not ended. */
export function isAlive(pid: number): boolean {
  const found = tryRead(pid);
  return found !== undefined && !found.zombie;
}

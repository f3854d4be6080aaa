// Runs a program under the shim fault-at.c, which disturbs it and all that it has started from one of its calls on.
import { spawn } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { execa } from "execa";

/** Compiles the shim into a folder; undefined where the machine has no C compiler, or is none that knows LD_PRELOAD. */
export async function tryCompileShim(folder: string): Promise<string | undefined> {
  if (process.platform !== "linux") return undefined;
  const source = fileURLToPath(new URL("fault-at.c", import.meta.url));
  const shim = path.join(folder, "fault-at.so");
  for (const compiler of ["cc", "gcc", "clang"]) {
    const made = await execa(compiler, ["-shared", "-fPIC", "-O1", "-o", shim, source, "-ldl"], { reject: false });
    if (made.exitCode === 0) return shim;
    if (made.exitCode !== undefined) throw new Error(`${compiler} refuses ${source}: ${made.stderr}`);
  }
  return undefined;
}

/** Killed, a disk that is full or read-only, a clock that is set back by a day. */
export const faultKinds = ["kill", "full", "read-only", "clock"] as const;
export type FaultKind = (typeof faultKinds)[number];

export interface FaultRun {
  readonly shim: string;
  /** A JavaScript program. */
  readonly program: string;
  readonly fault: FaultKind;
  /** The call from which on it is disturbed; 0 for never. */
  readonly at: number;
  /** A file of its own for the count. */
  readonly counter: string;
  readonly env: Readonly<Record<string, string>>;
}

export interface Ended {
  readonly code: number | null;
  readonly signal: string | null;
  readonly said: string;
  readonly calls: number;
}

/** No step takes as long: one that does waits for something that will not come. */
const mostMs = 90_000;

/** Runs a program in a process group of its own until it ends. */
export async function runUnderShim({ shim, program, fault, at, counter, env }: FaultRun): Promise<Ended> {
  writeFileSync(counter, Buffer.alloc(8));
  const child = spawn(process.execPath, [program], {
    // io_uring would do its writing where no shim sees it.
    env: { ...process.env, ...env, LD_PRELOAD: shim, FAULT: fault, FAULT_COUNTER: counter, FAULT_AT: String(at), UV_USE_IO_URING: "0" },
    stdio: ["ignore", "pipe", "pipe"],
    detached: true,
    cwd: "/",
  });
  let said = "";
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding("utf8").on("data", (text: string) => (said += text));
  const timer = setTimeout(() => {
    said += `\nit did not end within ${mostMs / 1000} s`;
    process.kill(-child.pid!, "SIGKILL");
  }, mostMs);
  const [code, signal] = await new Promise<[number | null, string | null]>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (...ended) => resolve(ended));
  });
  clearTimeout(timer);
  return { code, signal, said, calls: Number(readFileSync(counter).readBigUInt64LE()) };
}

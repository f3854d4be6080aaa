import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, openSync, readFileSync, closeSync } from "node:fs";
import path from "node:path";

/** A program to keep running. */
export interface Program {
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
}

const graceMs = 12_000;

/** Starts programs, each in a process group of its own with its output in a log file, and ends them all together. */
export class Supervisor {
  readonly #logs: string;
  readonly #cwd: string;
  readonly #running = new Map<string, ChildProcess>();
  #stopping = false;
  #onDeath: (message: string) => void = () => undefined;

  constructor(cwd: string, logs: string) {
    this.#cwd = cwd;
    this.#logs = logs;
    mkdirSync(logs, { recursive: true });
  }

  logFile(name: string): string {
    return path.join(this.#logs, `${name}.log`);
  }

  /** Called with a message for a person when a program ends that should not. */
  onDeath(listener: (message: string) => void): void {
    this.#onDeath = listener;
  }

  start({ name, command, args, env }: Program): void {
    const log = openSync(this.logFile(name), "a", 0o600);
    const child = spawn(command, [...args], { cwd: this.#cwd, env: env, stdio: ["ignore", log, log], detached: true });
    closeSync(log);
    this.#running.set(name, child);
    child.on("error", (error) => this.#onDeath(`${name} could not be started: ${error.message}`));
    child.on("exit", (code, signal) => {
      if (this.#stopping) return;
      this.#onDeath(`${name} ended (${signal ?? `exit code ${code}`}). The end of ${this.logFile(name)}:\n${this.#tail(name)}`);
    });
  }

  #tail(name: string): string {
    const lines = readFileSync(this.logFile(name), "utf8").trimEnd().split("\n");
    return lines.slice(-15).join("\n");
  }

  /** Ends every program and what it started: SIGTERM to each group, SIGKILL to what is left. */
  async stop(): Promise<void> {
    this.#stopping = true;
    const groups = [...this.#running.values()].flatMap(({ pid }) => pid ?? []);
    for (const pid of groups) signalGroup(pid, "SIGTERM");
    const deadline = Date.now() + graceMs;
    while (groups.some(isAlive) && Date.now() < deadline) await new Promise((resolve) => setTimeout(resolve, 100));
    for (const pid of groups) signalGroup(pid, "SIGKILL");
    this.#running.clear();
  }
}

function signalGroup(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-pid, signal);
  } catch {
    // The group has ended.
  }
}

/** Whether any process of the group is left; zombies that nobody reaps do not count as work. */
function isAlive(pid: number): boolean {
  try {
    process.kill(-pid, 0);
    return true;
  } catch {
    return false;
  }
}

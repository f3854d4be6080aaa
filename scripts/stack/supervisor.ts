import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, openSync, readFileSync, closeSync } from "node:fs";
import path from "node:path";

/** A program to keep running. */
export interface Program {
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  /** How it wants to be ended: by SIGTERM, with the others and within 12 s, unless said otherwise. */
  readonly stop?: {
    readonly signal: NodeJS.Signals;
    /** After all others have ended: they need it until then. */
    readonly last: boolean;
    readonly graceMs: number;
  };
}

const graceMs = 12_000;

/** Starts programs, each in a process group of its own with its output in a log file, and ends them all together. */
export class Supervisor {
  readonly #logs: string;
  readonly #cwd: string;
  readonly #running = new Map<string, { child: ChildProcess; stop: Program["stop"] }>();
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

  /** @throws {Error} if all is being stopped: nobody would end it. */
  start({ name, command, args, env, stop }: Program): void {
    if (this.#stopping) throw new Error(`${name} is not started: everything is being stopped`);
    const log = openSync(this.logFile(name), "a", 0o600);
    const child = spawn(command, [...args], { cwd: this.#cwd, env: env, stdio: ["ignore", log, log], detached: true });
    closeSync(log);
    this.#running.set(name, { child, stop });
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

  /** Ends every program and what it started: its signal to each group, SIGKILL to what is left. */
  async stop(): Promise<void> {
    this.#stopping = true;
    const programs = [...this.#running.values()];
    for (const last of [false, true]) {
      const now = programs.filter(({ stop }) => (stop?.last ?? false) === last);
      await Promise.all(now.map(({ child, stop }) => end(child.pid, stop?.signal ?? "SIGTERM", stop?.graceMs ?? graceMs)));
    }
    this.#running.clear();
  }
}

async function end(pid: number | undefined, signal: NodeJS.Signals, patienceMs: number): Promise<void> {
  if (pid === undefined) return;
  signalGroup(pid, signal);
  const deadline = Date.now() + patienceMs;
  while (isAlive(pid) && Date.now() < deadline) await new Promise((resolve) => setTimeout(resolve, 100));
  signalGroup(pid, "SIGKILL");
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

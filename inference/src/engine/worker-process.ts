import { type ChildProcess, fork } from "node:child_process";
import { setPriority } from "node:os";
import type { Writable } from "node:stream";
import { fileURLToPath } from "node:url";
import { workerAllocation } from "../allocation.ts";
import { type FromWorker, type Job, type LoadMessage, modelPipe, type ToWorker } from "./messages.ts";

/** How long a model may take to load and warm up. */
const loadTimeoutMs = 120_000;

/** Computing may wait a moment; answering may not: the service's own process comes first where cores are scarce. */
const niceness = 5;

/** What a worker is started with. */
export interface WorkerLoad extends Omit<LoadMessage, "kind" | "onnxBytes"> {
  /** The model's file. */
  readonly onnx: Uint8Array;
}

type Answer = Extract<FromWorker, { kind: "done" | "failed" }>;

/** A worker that has loaded its model. It is replaced, never reloaded. */
export class WorkerProcess {
  /** Pictures of a run that are worth it, as the worker has tried. */
  readonly batch: number;
  readonly #child: ChildProcess;
  #ended = false;
  onAnswer: (answer: Answer) => void = () => undefined;
  /** Called when the process ends without having been asked to. */
  onDeath: (why: string) => void = () => undefined;

  private constructor(child: ChildProcess, batch: number) {
    this.batch = batch;
    this.#child = child;
    child.on("message", (message: FromWorker) => {
      if (message.kind === "done" || message.kind === "failed") this.onAnswer(message);
    });
    child.on("exit", (code, signal) => {
      if (this.#ended) return;
      this.#ended = true;
      this.onDeath(`the model's process ended (${signal ?? `exit code ${code}`})`);
    });
    child.on("error", () => this.kill());
  }

  /** Starts a process for a model and waits until it is warm; rejects where the model does not fit. */
  static async start({ onnx, ...load }: WorkerLoad): Promise<WorkerProcess> {
    const entry = fileURLToPath(new URL("./worker.ts", import.meta.url));
    // The service's secrets are no business of a process that opens strangers' files.
    const { PATH, HOME, LANG, TMPDIR } = process.env;
    const env = { PATH, HOME, LANG, ...(TMPDIR ? { TMPDIR } : {}), ...workerAllocation };
    const child = fork(entry, { serialization: "advanced", execArgv: ["--import", "tsx"], env, stdio: ["inherit", "inherit", "inherit", "ipc", "pipe"] });
    try {
      if (child.pid) setPriority(child.pid, niceness);
    } catch {
      // Not everywhere may a process be made nicer; it works without.
    }
    try {
      return await new Promise<WorkerProcess>((resolve, reject) => {
        const timer = setTimeout(() => reject(new Error(`the model was not loaded within ${loadTimeoutMs / 1000} s`)), loadTimeoutMs);
        child.once("error", reject);
        child.once("exit", (code, signal) => reject(new Error(`the model's process ended while it loaded the model (${signal ?? `exit code ${code}`})`)));
        child.once("message", (message: FromWorker) => {
          clearTimeout(timer);
          if (message.kind === "ready") resolve(new WorkerProcess(child, message.batch));
          else reject(new Error(message.kind === "unfit" ? message.message : "the model's process answered before it was asked"));
        });
        child.send({ kind: "load", ...load, onnxBytes: onnx.length } satisfies ToWorker);
        // A message would be copied as a whole, twice, while nothing else is answered.
        const pipe = child.stdio[modelPipe] as Writable;
        // A process that ends before it has read everything is reported by its end.
        pipe.on("error", () => undefined);
        pipe.end(onnx);
      });
    } catch (error) {
      child.kill("SIGKILL");
      throw error;
    }
  }

  send(jobs: readonly { readonly id: number; readonly job: Job }[]): void {
    this.#tell({ kind: "batch", jobs });
  }

  cancel(id: number): void {
    this.#tell({ kind: "cancel", id });
  }

  #tell(message: ToWorker): void {
    // A process that is gone cannot be told anything; its end is reported by itself.
    this.#child.send(message, () => undefined);
  }

  /** Ends the process at once. */
  kill(): void {
    this.#ended = true;
    this.#child.kill("SIGKILL");
  }

  /** Ends the process as one that hangs: `onDeath` is called. */
  abort(): void {
    this.#child.kill("SIGKILL");
  }
}

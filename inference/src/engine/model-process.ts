import { type ChildProcess, fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import type { Manifest } from "../model/manifest.ts";
import type { Found } from "./detector.ts";
import { BadImageError } from "./preprocess.ts";
import type { DetectRequest, WorkerJob, WorkerMessage } from "./worker.ts";

/** How long a model may take to load and warm up, and one picture to be computed. */
const loadTimeoutMs = 60_000;
const detectTimeoutMs = 30_000;

interface Waiting {
  readonly resolve: (found: Found) => void;
  readonly reject: (error: Error) => void;
  readonly timer: NodeJS.Timeout;
}

/** A model loaded in a process of its own. It is replaced, never reloaded. */
export class ModelProcess {
  readonly manifest: Manifest;
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, Waiting>();
  #nextId = 1;
  #retiring = false;
  /** Called when the process ends without having been asked to. */
  onDeath: (why: string) => void = () => undefined;

  private constructor(manifest: Manifest, child: ChildProcess) {
    this.manifest = manifest;
    this.#child = child;
    child.on("message", (message: WorkerMessage) => this.#settle(message));
    child.on("exit", (code, signal) => {
      const why = `the model's process ended (${signal ?? `exit code ${code}`})`;
      for (const { reject, timer } of this.#waiting.values()) {
        clearTimeout(timer);
        reject(new Error(why));
      }
      this.#waiting.clear();
      if (!this.#retiring) this.onDeath(why);
    });
  }

  /** Starts a process for a model and waits until it is warm; rejects where the model does not fit its manifest. */
  static async start(manifest: Manifest, onnx: Uint8Array, threads: number): Promise<ModelProcess> {
    const entry = fileURLToPath(new URL("./worker.ts", import.meta.url));
    const child = fork(entry, { serialization: "advanced", execArgv: entry.endsWith(".ts") ? ["--import", "tsx"] : [] });
    const process = new ModelProcess(manifest, child);
    try {
      await new Promise<void>((resolve, reject) => {
        const timer = setTimeout(() => reject(new Error(`the model was not loaded within ${loadTimeoutMs / 1000} s`)), loadTimeoutMs);
        process.onDeath = (why) => reject(new Error(why));
        child.on("error", reject);
        child.on("message", (message: WorkerMessage) => {
          if (message.kind === "ready") resolve();
          if (message.kind === "unfit") reject(new Error(message.message));
          clearTimeout(timer);
        });
        child.send({ onnx, labels: manifest.labels, side: manifest.imgsz, threads } satisfies WorkerJob);
      });
    } catch (error) {
      process.kill();
      throw error;
    }
    process.onDeath = () => undefined;
    return process;
  }

  get pending(): number {
    return this.#waiting.size;
  }

  async detect(image: Buffer, options: Omit<DetectRequest, "id" | "image">): Promise<Found> {
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#waiting.delete(id);
        reject(new Error(`the picture was not computed within ${detectTimeoutMs / 1000} s`));
      }, detectTimeoutMs);
      this.#waiting.set(id, { resolve, reject, timer });
      this.#child.send({ id, image, ...options } satisfies DetectRequest);
    });
  }

  #settle(message: WorkerMessage): void {
    if (!("id" in message)) return;
    const waiting = this.#waiting.get(message.id);
    if (!waiting) return;
    this.#waiting.delete(message.id);
    clearTimeout(waiting.timer);
    if (message.kind === "found") waiting.resolve(message.found);
    else waiting.reject(message.kind === "bad-image" ? new BadImageError(message.message) : new Error(message.message));
    if (this.#retiring && this.#waiting.size === 0) this.kill();
  }

  /** Ends the process once what it has begun is answered. */
  retire(): void {
    this.#retiring = true;
    if (this.#waiting.size === 0) this.kill();
  }

  kill(): void {
    this.#retiring = true;
    this.#child.kill("SIGKILL");
  }
}

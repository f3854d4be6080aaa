import type { Logger } from "pino";
import type { Manifest } from "../model/manifest.ts";
import type { DetectJob, DetectResult, Job, JobResult, TensorJob } from "./messages.ts";
import type { TensorAnswer } from "./tensor-call.ts";
import { type WorkerLoad, WorkerProcess } from "./worker-process.ts";

/** How a pool computes. Every limit is here. */
export interface PoolOptions {
  readonly workers: number;
  /** Threads of each worker. */
  readonly threads: number;
  /** Jobs that may wait for a worker. */
  readonly maxWaiting: number;
  /** The most pictures of a run. */
  readonly maxBatch: number;
  /** Whether batches are used only where loading a model shows that they make a picture cheaper, or always. */
  readonly batching: "auto" | "always";
  /** How long the first of a batch waits for others. */
  readonly batchDelayMs: number;
  /** After this a job that waits is given up, and a worker that computes is taken for hanging. */
  readonly deadlineMs: number;
}

/** What a pool reports, for metrics. */
export interface PoolEvents {
  onBatch(size: number): void;
  onWorkerDeath(): void;
}

/** The pool has no room; the client may come back. */
export class BusyError extends Error {
  override readonly name = "BusyError";
}

/** The pool did not come to the job in time, or lost the worker that had it. */
export class UnavailableError extends Error {
  override readonly name = "UnavailableError";
}

/** The job is the client's fault. The message is for the client. */
export class RefusedError extends Error {
  override readonly name = "RefusedError";
}

interface Entry {
  readonly id: number;
  readonly job: Job;
  readonly since: number;
  readonly resolve: (result: JobResult) => void;
  readonly reject: (error: Error) => void;
  readonly timer: NodeJS.Timeout;
}

/** Batches that a worker has at once: one in the network, and one whose pictures are decoded meanwhile. */
const batchesAhead = 2;

/** A worker that dies as soon as it is started is started again more and more slowly. */
const restartDelaysMs = [0, 200, 1000, 5000, 15_000] as const;

/** Workers that have the same model, and the queue before them. */
export class ModelPool {
  readonly manifest: Manifest;
  readonly #load: WorkerLoad;
  readonly #options: PoolOptions;
  readonly #events: PoolEvents;
  readonly #log: Logger;
  readonly #waiting = new Map<number, Entry>();
  /** What each worker has. */
  readonly #workers = new Map<WorkerProcess, Map<number, Entry>>();
  #batch = 1;
  #nextId = 1;
  #timer: NodeJS.Timeout | undefined;
  #retired = false;
  #restarts = 0;
  #onEmpty: (() => void) | undefined;

  private constructor(manifest: Manifest, load: WorkerLoad, options: PoolOptions, events: PoolEvents, log: Logger) {
    this.manifest = manifest;
    this.#load = load;
    this.#options = options;
    this.#events = events;
    this.#log = log;
  }

  /** Starts the workers and waits until all are warm; rejects where the model does not fit its manifest. */
  static async start(manifest: Manifest, onnx: Uint8Array, options: PoolOptions, events: PoolEvents, log: Logger): Promise<ModelPool> {
    const { labels, imgsz: side } = manifest;
    const { threads, maxBatch, batching } = options;
    const pool = new ModelPool(manifest, { onnx, labels, side, threads, maxBatch, batching }, options, events, log);
    try {
      // The first alone: a bad model shows itself there, and what it tries out is not disturbed by the others.
      const first = await pool.#startWorker();
      pool.#batch = first.batch;
      await Promise.all(Array.from({ length: options.workers - 1 }, () => pool.#startWorker()));
      return pool;
    } catch (error) {
      pool.kill();
      throw error;
    }
  }

  /** Jobs that wait for a worker. */
  get waiting(): number {
    return this.#waiting.size;
  }

  /** Whether another job would be refused. */
  get isFull(): boolean {
    return this.#waiting.size >= this.#options.maxWaiting;
  }

  /** Pictures of a run. */
  get batchSize(): number {
    return this.#batch;
  }

  detect(job: Omit<DetectJob, "kind">, signal?: AbortSignal): Promise<DetectResult> {
    return this.#submit({ kind: "detect", ...job }, signal) as Promise<DetectResult>;
  }

  tensor(job: Omit<TensorJob, "kind">, signal?: AbortSignal): Promise<TensorAnswer> {
    return this.#submit({ kind: "tensor", ...job }, signal) as Promise<TensorAnswer>;
  }

  async #submit(job: Job, signal?: AbortSignal): Promise<JobResult> {
    signal?.throwIfAborted();
    // A pool whose workers have ended would let the job wait until its deadline.
    if (this.#retired && this.#workers.size === 0) throw new UnavailableError("the model has just been replaced");
    if (this.isFull) throw new BusyError(`${this.#options.maxWaiting} pictures wait already`);
    const id = this.#nextId++;
    return new Promise<JobResult>((resolve, reject) => {
      const timer = setTimeout(() => this.#giveUp(id), this.#options.deadlineMs);
      const onAbort = () => this.#cancel(id, signal!);
      const end = () => signal?.removeEventListener("abort", onAbort);
      this.#waiting.set(id, {
        id,
        job,
        since: performance.now(),
        timer,
        resolve: (result) => (end(), resolve(result)),
        reject: (error) => (end(), reject(error)),
      });
      signal?.addEventListener("abort", onAbort, { once: true });
      this.#dispatch();
    });
  }

  /** Gives waiting jobs to workers that have room: whole batches at once, others when their first has waited long enough. */
  #dispatch(): void {
    clearTimeout(this.#timer);
    while (this.#waiting.size > 0) {
      const worker = this.#freest();
      if (!worker) return;
      const [first] = this.#waiting.values();
      const rest = this.#options.batchDelayMs - (performance.now() - first!.since);
      if (this.#waiting.size < this.#batch && rest > 0) {
        this.#timer = setTimeout(() => this.#dispatch(), rest);
        return;
      }
      const batch = [...this.#waiting.values()].slice(0, this.#batch);
      for (const entry of batch) {
        this.#waiting.delete(entry.id);
        this.#workers.get(worker)!.set(entry.id, entry);
      }
      this.#events.onBatch(batch.length);
      worker.send(batch.map(({ id, job }) => ({ id, job })));
    }
  }

  #freest(): WorkerProcess | undefined {
    let best: WorkerProcess | undefined;
    let least = this.#batch * batchesAhead;
    for (const [worker, entries] of this.#workers)
      if (entries.size < least) {
        best = worker;
        least = entries.size;
      }
    return best;
  }

  #settle(worker: WorkerProcess, id: number, settle: (entry: Entry) => void): void {
    const entry = this.#workers.get(worker)?.get(id);
    if (!entry) return;
    this.#workers.get(worker)!.delete(id);
    clearTimeout(entry.timer);
    settle(entry);
    this.#dispatch();
    this.#endIfEmpty();
  }

  /** A job's time is over: one that waits is refused, and a worker that has had it for so long is taken for hanging. */
  #giveUp(id: number): void {
    const waiting = this.#waiting.get(id);
    if (waiting) {
      this.#waiting.delete(id);
      waiting.reject(new UnavailableError(`no worker was free within ${this.#options.deadlineMs / 1000} s`));
      return this.#endIfEmpty();
    }
    for (const [worker, entries] of this.#workers) if (entries.has(id)) worker.abort();
  }

  /** A client has gone away: what waits costs nothing, and what a worker has is left out if it is not begun; it still answers. */
  #cancel(id: number, signal: AbortSignal): void {
    const gone = () => (signal.reason instanceof Error ? signal.reason : new Error("the client has gone away"));
    const waiting = this.#waiting.get(id);
    if (waiting) {
      this.#waiting.delete(id);
      clearTimeout(waiting.timer);
      waiting.reject(gone());
      return this.#endIfEmpty();
    }
    for (const [worker, entries] of this.#workers) {
      const entry = entries.get(id);
      if (!entry) continue;
      worker.cancel(id);
      entry.reject(gone());
    }
  }

  async #startWorker(): Promise<WorkerProcess> {
    const worker = await WorkerProcess.start(this.#load);
    if (this.#retired && this.#isEmpty) {
      worker.kill();
      return worker;
    }
    this.#workers.set(worker, new Map());
    worker.onAnswer = (answer) => {
      this.#restarts = 0;
      this.#settle(worker, answer.id, (entry) => {
        if (answer.kind === "done") entry.resolve(answer.result);
        else entry.reject(answer.isClients ? new RefusedError(answer.message) : new Error(answer.message));
      });
    };
    worker.onDeath = (why) => this.#bury(worker, why);
    this.#dispatch();
    return worker;
  }

  /** A worker has died: what it had is lost, and another takes its place. */
  #bury(worker: WorkerProcess, why: string): void {
    const entries = this.#workers.get(worker) ?? new Map<number, Entry>();
    this.#workers.delete(worker);
    for (const { timer, reject } of entries.values()) {
      clearTimeout(timer);
      reject(new UnavailableError(`${why} while it had this picture`));
    }
    this.#events.onWorkerDeath();
    this.#log.error({ lost: entries.size }, why);
    this.#endIfEmpty();
    if (!this.#retired || !this.#isEmpty) this.#restart();
  }

  #restart(): void {
    const delay = restartDelaysMs[Math.min(this.#restarts++, restartDelaysMs.length - 1)]!;
    setTimeout(() => {
      if (this.#retired && this.#isEmpty) return;
      this.#startWorker().catch((error: unknown) => {
        this.#log.error({ err: error }, "a worker cannot be started again");
        this.#restart();
      });
    }, delay).unref();
  }

  get #isEmpty(): boolean {
    return this.#waiting.size === 0 && [...this.#workers.values()].every((entries) => entries.size === 0);
  }

  #endIfEmpty(): void {
    if (!this.#retired || !this.#isEmpty) return;
    this.kill();
    this.#onEmpty?.();
  }

  /** Ends the workers once all that was taken is answered. */
  async retire(): Promise<void> {
    if (this.#retired) return;
    this.#retired = true;
    await new Promise<void>((resolve) => {
      this.#onEmpty = resolve;
      this.#endIfEmpty();
    });
  }

  /** Ends the workers at once. */
  kill(): void {
    this.#retired = true;
    clearTimeout(this.#timer);
    for (const worker of this.#workers.keys()) worker.kill();
    this.#workers.clear();
  }
}

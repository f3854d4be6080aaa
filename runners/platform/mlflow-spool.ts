import { appendFile, readFile, rename, rm, truncate, writeFile } from "node:fs/promises";
import path from "node:path";
import { type Metric, type MlflowClient, MlflowError } from "./mlflow.ts";

/** One thing that MLflow shall be told of a run. */
type Entry =
  | { readonly kind: "params"; readonly params: Readonly<Record<string, string | number | boolean>> }
  | { readonly kind: "metrics"; readonly metrics: readonly Metric[] }
  | { readonly kind: "tag"; readonly key: string; readonly value: string }
  | { readonly kind: "dataset"; readonly dataset: { readonly name: string; readonly digest: string; readonly source: string } }
  | { readonly kind: "artifact"; readonly file: string; readonly folder: string }
  | { readonly kind: "end"; readonly status: "RUNNING" | "FINISHED" | "FAILED" | "KILLED" };

/** MLflow's ids of a run. */
export interface RunIds {
  readonly runId: string;
  readonly experimentId: string;
}

/** What is known of the sending, beside the spool. */
interface Progress extends Partial<RunIds> {
  /** Entries that MLflow has. */
  readonly sent: number;
}

export interface SpoolOptions {
  readonly experiment: string;
  readonly runName: string;
  readonly tags: Readonly<Record<string, string>>;
}

const firstPauseMs = 1000;
const longestPauseMs = 30_000;

/**
 * Tells MLflow of a run without ever holding it up: everything goes to a file first, and from there to MLflow in order, when
 * it can be reached. What a try of the task could not send, the next one does. Sent twice, an entry changes nothing.
 */
export class MlflowSpool {
  readonly #mlflow: MlflowClient;
  readonly #options: SpoolOptions;
  readonly #file: string;
  readonly #progressFile: string;
  readonly #entries: Entry[];
  readonly #onTrouble: (message: string) => void;
  #progress: Progress;
  #writing: Promise<void> = Promise.resolve();
  #sending: Promise<void> | undefined;
  #closed = false;
  #wake: (() => void) | undefined;

  private constructor(mlflow: MlflowClient, folder: string, options: SpoolOptions, entries: Entry[], progress: Progress, onTrouble: (message: string) => void) {
    this.#mlflow = mlflow;
    this.#options = options;
    this.#file = path.join(folder, "mlflow-spool.jsonl");
    this.#progressFile = path.join(folder, "mlflow-run.json");
    this.#entries = entries;
    this.#progress = progress;
    this.#onTrouble = onTrouble;
  }

  /** Opens the spool of a run's folder, and begins to send what an earlier try has left. */
  static async open(mlflow: MlflowClient, folder: string, options: SpoolOptions, onTrouble: (message: string) => void): Promise<MlflowSpool> {
    const text = (name: string) =>
      readFile(path.join(folder, name), "utf8").catch((error: NodeJS.ErrnoException) => {
        if (error.code === "ENOENT") return "";
        throw error;
      });
    // A line that a crash has cut short was never promised to anyone; nor may the next one be written behind it.
    const spooled = await text("mlflow-spool.jsonl");
    const lines = spooled.split("\n").slice(0, -1);
    if (!spooled.endsWith("\n") && spooled)
      await truncate(path.join(folder, "mlflow-spool.jsonl"), Buffer.byteLength(lines.map((line) => `${line}\n`).join("")));
    const progress = JSON.parse((await text("mlflow-run.json")) || '{"sent":0}') as Progress;
    const spool = new MlflowSpool(
      mlflow,
      folder,
      options,
      lines.map((line) => JSON.parse(line) as Entry),
      progress,
      onTrouble,
    );
    spool.#send();
    return spool;
  }

  /** Keeps an entry on disk and sends it as soon as MLflow takes it. */
  add(entry: Entry): void {
    this.#entries.push(entry);
    this.#writing = this.#writing.then(() => appendFile(this.#file, `${JSON.stringify(entry)}\n`));
    // Told to whoever waits in `flush`; until then a full disk must not end the training.
    this.#writing.catch(() => undefined);
    this.#send();
  }

  /** Waits until MLflow has everything; throws what is in the way after `withinMs`. */
  async flush(withinMs: number): Promise<RunIds> {
    await this.#writing;
    this.#send();
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(
        () =>
          reject(
            new Error(
              `MLflow at ${this.#mlflow.url} could not be told everything of this run within ${Math.round(withinMs / 1000)} s; what is left is in ${this.#file}, and the next try sends it`,
            ),
          ),
        withinMs,
      );
    });
    try {
      await Promise.race([this.#drained(), late]);
    } finally {
      clearTimeout(timer);
      this.close();
    }
    const { runId, experimentId } = this.#progress;
    return { runId: runId!, experimentId: experimentId! };
  }

  /** Forgets the run, which MLflow must have whole: what comes next in this folder is another one. */
  async forget(): Promise<void> {
    this.close();
    await rm(this.#file, { force: true });
    await rm(this.#progressFile, { force: true });
  }

  /** Stops sending; what is left stays in the file. */
  close(): void {
    this.#closed = true;
    this.#wake?.();
  }

  async #drained(): Promise<void> {
    while (this.#sending) await this.#sending;
  }

  #send(): void {
    if (this.#closed) return;
    this.#sending ??= this.#sendAll().finally(() => {
      this.#sending = undefined;
      // Something may have come in between the last look and now.
      if (!this.#closed && this.#progress.sent < this.#entries.length) this.#send();
    });
  }

  async #sendAll(): Promise<void> {
    let pause = firstPauseMs;
    while (!this.#closed && (!this.#progress.runId || this.#progress.sent < this.#entries.length)) {
      try {
        const ids = await this.#run();
        const entry = this.#entries[this.#progress.sent];
        if (!entry) return;
        await this.#tell(ids, entry);
        await this.#save({ ...ids, sent: this.#progress.sent + 1 });
        pause = firstPauseMs;
      } catch (error) {
        // What MLflow refuses it will refuse again: it is left out, and said.
        if (error instanceof MlflowError && error.code !== undefined && this.#progress.runId) {
          this.#onTrouble(`MLflow refused a part of the run: ${error.message}`);
          await this.#save({ ...this.#progress, sent: this.#progress.sent + 1 });
          continue;
        }
        this.#onTrouble(`${(error as Error).message}; trying again, nothing is lost`);
        await new Promise<void>((resolve) => {
          const timer = setTimeout(resolve, pause);
          this.#wake = () => {
            clearTimeout(timer);
            resolve();
          };
        });
        pause = Math.min(pause * 2, longestPauseMs);
      }
    }
  }

  /** MLflow's run, made when MLflow is first reached. */
  async #run(): Promise<RunIds> {
    const { runId, experimentId } = this.#progress;
    if (runId && experimentId) return { runId, experimentId };
    const { experiment, runName, tags } = this.#options;
    const id = await this.#mlflow.findOrCreateExperiment(experiment);
    const ids = { experimentId: id, runId: await this.#mlflow.createRun(id, runName, tags) };
    await this.#save({ ...ids, sent: this.#progress.sent });
    return ids;
  }

  async #save(progress: Progress): Promise<void> {
    this.#progress = progress;
    const temporary = `${this.#progressFile}.tmp`;
    await writeFile(temporary, JSON.stringify(progress));
    await rename(temporary, this.#progressFile);
  }

  #tell({ runId, experimentId }: RunIds, entry: Entry): Promise<void> {
    switch (entry.kind) {
      case "params":
        return this.#mlflow.logParams(runId, entry.params);
      case "metrics":
        return this.#mlflow.logMetrics(runId, entry.metrics);
      case "tag":
        return this.#mlflow.setTag(runId, entry.key, entry.value);
      case "dataset":
        return this.#mlflow.logDataset(runId, entry.dataset);
      case "artifact":
        return this.#mlflow.logArtifact(experimentId, runId, entry.file, entry.folder);
      case "end":
        return this.#mlflow.setStatus(runId, entry.status);
    }
  }
}

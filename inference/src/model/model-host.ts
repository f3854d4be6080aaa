import type { Logger } from "pino";
import { ModelProcess } from "../engine/model-process.ts";
import { readModel, tryReadManifest } from "./manifest.ts";

/** What the host is doing, for /readyz and the log. */
export interface HostStatus {
  readonly model: { readonly name: string; readonly version: string; readonly sha256: string } | undefined;
  /** Why the newest manifest is not what serves, if so. */
  readonly problem: string | undefined;
}

/** Serves the model that a folder's manifest names, and takes a new one when the manifest changes. */
export class ModelHost {
  readonly #folder: string;
  readonly #threads: number;
  readonly #log: Logger;
  #current: ModelProcess | undefined;
  #problem: string | undefined;
  /** The manifest whose model could not be used: it is not tried again and again. */
  #refused: string | undefined;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(folder: string, { threads, log }: { threads: number; log: Logger }) {
    this.#folder = folder;
    this.#threads = threads;
    this.#log = log;
  }

  get current(): ModelProcess | undefined {
    return this.#current;
  }

  get status(): HostStatus {
    const manifest = this.#current?.manifest;
    return { model: manifest && { name: manifest.name, version: manifest.version, sha256: manifest.sha256 }, problem: this.#problem };
  }

  /** Looks now, and again every `everyMs`. Looking costs one small read: volumes shared between machines give no events. */
  async watch(everyMs: number): Promise<void> {
    await this.refresh();
    if (this.#closed) return;
    this.#timer = setTimeout(() => void this.watch(everyMs), everyMs);
  }

  /** Takes the manifest's model if it is another than the one that serves. A model that is no good leaves the old one serving. */
  async refresh(): Promise<void> {
    try {
      const manifest = await tryReadManifest(this.#folder);
      if (!manifest) return;
      const { sha256, name, version } = manifest;
      const same = this.#current?.manifest;
      if (same?.sha256 === sha256 && same.version === version && same.name === name) {
        this.#problem = undefined;
        return;
      }
      const described = JSON.stringify(manifest);
      if (this.#refused === described) return;
      // A hash that differs may be a file on its way: this throws, and the next look tries again.
      const onnx = await readModel(this.#folder, manifest);
      this.#refused = described;
      this.#swap(await ModelProcess.start(manifest, onnx, this.#threads));
      this.#refused = undefined;
      this.#log.info({ model: name, version, sha256 }, "a new model serves");
    } catch (error) {
      const problem = (error as Error).message;
      if (problem !== this.#problem) this.#log.error({ err: error }, "the model in the folder cannot be used");
      this.#problem = problem;
    }
  }

  #swap(next: ModelProcess): void {
    if (this.#closed) return next.kill();
    const old = this.#current;
    next.onDeath = (why) => {
      this.#log.error(why);
      if (this.#current === next) this.#current = undefined;
      // The manifest is still there: the next look starts the model again.
    };
    this.#current = next;
    this.#problem = undefined;
    old?.retire();
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#current?.retire();
  }
}

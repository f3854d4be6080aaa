import type { Logger } from "pino";
import { ModelPool, type PoolEvents, type PoolOptions } from "../engine/model-pool.ts";
import { canaryOptions, checkCanary } from "./canary.ts";
import { checkOnnx } from "./check-onnx.ts";
import { listVersions, type Manifest, type ModelFiles, readModelFiles, specOf, tryReadManifest } from "./manifest.ts";

/** What the host is doing, for /readyz and the log. */
export interface HostStatus {
  readonly model: { readonly name: string; readonly version: string; readonly sha256: string } | undefined;
  /** Why the newest manifest is not what serves, if so. */
  readonly problem: string | undefined;
}

/** What a host reports, for metrics. */
export interface HostEvents extends PoolEvents {
  onServe(manifest: Manifest): void;
  onRefuse(): void;
}

export interface HostOptions {
  readonly pool: PoolOptions;
  /** Models beside the newest one that are kept loaded for those who ask for them. */
  readonly maxExtraModels: number;
  readonly log: Logger;
  readonly events: HostEvents;
}

/** There is no such model in the folder. The message is for the client. */
export class UnknownModelError extends Error {
  override readonly name = "UnknownModelError";
}

/** Serves the model that a folder's manifest names, and takes a new one when the manifest changes. */
export class ModelHost {
  readonly #folder: string;
  readonly #options: HostOptions;
  #current: ModelPool | undefined;
  #problem: string | undefined;
  /** The manifest whose model could not be used: it is not tried again and again. */
  #refused: string | undefined;
  /** Models that somebody asked for by name, the one asked for last at the end. */
  readonly #extra = new Map<string, Promise<ModelPool>>();
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(folder: string, options: HostOptions) {
    this.#folder = folder;
    this.#options = options;
  }

  get current(): ModelPool | undefined {
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
      const same = this.#current?.manifest;
      if (same && specOf(same) === specOf(manifest) && same.sha256 === manifest.sha256) {
        this.#problem = undefined;
        return;
      }
      const described = JSON.stringify(manifest);
      if (this.#refused === described) return;
      // A hash that differs may be a file on its way: this throws, and the next look tries again.
      const files = await readModelFiles(this.#folder, manifest);
      this.#refused = described;
      const next = await this.#load(manifest, files, this.#options.pool.workers);
      this.#refused = undefined;
      this.#swap(next);
    } catch (error) {
      const problem = (error as Error).message;
      if (problem !== this.#problem) {
        this.#options.log.error({ err: error }, "the model in the folder cannot be used");
        this.#options.events.onRefuse();
      }
      this.#problem = problem;
    }
  }

  /** A pool that has passed all checks: allowed operators, a warm run with the shapes that the manifest implies, the canary. */
  async #load(manifest: Manifest, { onnx, canary }: ModelFiles, workers: number): Promise<ModelPool> {
    const { pool: options, events, log } = this.#options;
    checkOnnx(onnx);
    const pool = await ModelPool.start(manifest, onnx, { ...options, workers }, events, log);
    try {
      if (canary && manifest.canary) {
        const { found } = await pool.detect({ image: canary, options: canaryOptions, draw: false });
        checkCanary(manifest.canary.detections, found.detections, manifest.labels);
      }
      return pool;
    } catch (error) {
      pool.kill();
      throw error;
    }
  }

  #swap(next: ModelPool): void {
    if (this.#closed) return next.kill();
    const old = this.#current;
    this.#current = next;
    this.#problem = undefined;
    const { name, version, sha256 } = next.manifest;
    this.#options.log.info({ model: name, version, sha256, batch: next.batchSize }, "a new model serves");
    this.#options.events.onServe(next.manifest);
    void old?.retire();
  }

  /**
   * The pool of a model: the newest where `spec` is left out, else `name@version`, or `name` for its newest version.
   * Undefined where there is no model at all.
   */
  async pool(spec?: string): Promise<ModelPool | undefined> {
    const current = this.#current;
    if (spec === undefined || (current && (spec === current.manifest.name || spec === specOf(current.manifest)))) return current;
    const versions = await listVersions(this.#folder);
    const manifest = versions.find((each) => each.name === spec || specOf(each) === spec);
    if (!manifest) {
      const known = versions.map(specOf).slice(0, 10).join(", ");
      throw new UnknownModelError(`there is no model ${JSON.stringify(spec.slice(0, 200))} here; there are: ${known || "none"}`);
    }
    return this.#extraPool(manifest);
  }

  async #extraPool(manifest: Manifest): Promise<ModelPool> {
    const key = `${specOf(manifest)} ${manifest.sha256}`;
    const known = this.#extra.get(key);
    this.#extra.delete(key);
    const starting = known ?? this.#startExtra(manifest);
    this.#extra.set(key, starting);
    for (const [other, pool] of this.#extra) {
      if (this.#extra.size <= this.#options.maxExtraModels) break;
      this.#extra.delete(other);
      void pool.then((old) => old.retire()).catch(() => undefined);
    }
    return starting.catch((error: unknown) => {
      this.#extra.delete(key);
      throw error;
    });
  }

  async #startExtra(manifest: Manifest): Promise<ModelPool> {
    return this.#load(manifest, await readModelFiles(this.#folder, manifest), 1);
  }

  async #pools(): Promise<ModelPool[]> {
    const extra = await Promise.allSettled(this.#extra.values());
    return [this.#current, ...extra.map((each) => (each.status === "fulfilled" ? each.value : undefined))].filter((pool) => pool !== undefined);
  }

  /** Ends once all that was taken is answered. */
  async drain(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    await Promise.all((await this.#pools()).map((pool) => pool.retire()));
  }

  /** Ends at once. */
  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#current?.kill();
    for (const pool of this.#extra.values()) void pool.then((each) => each.kill()).catch(() => undefined);
  }
}

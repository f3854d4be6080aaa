import type { AugmentOptions } from "../augment/sample.ts";
import type { PictureFile } from "./pictures.ts";
import { startWorker } from "./start-worker.ts";
import type { HostBatch } from "./trainer.ts";

/** What a loader's thread needs to know. */
export interface LoaderSetting {
  readonly pictures: readonly PictureFile[];
  readonly side: number;
  readonly batch: number;
  /** Their number: where some picture was not asked for all, batches tell which were. */
  readonly classes: number;
  readonly seed: number;
  readonly augment: AugmentOptions;
  /** Memory for decoded pictures. */
  readonly cacheBytes: number;
}

/** Which batch: every one follows from these and the setting alone, so a run can begin anywhere. */
export interface BatchRequest {
  /** From 0. */
  readonly epoch: number;
  /** Within the epoch, from 0. */
  readonly step: number;
  /** Whether mosaics are made: they stop near the end, so that the last epochs see pictures as they are. */
  readonly mosaic: boolean;
}

/** Batches ahead of the step: enough that a slow picture does not stop training. */
const ahead = 3;

/** Batches in the order of `requests`, decoded and augmented in a thread ahead of their use. */
export async function* loadBatches(setting: LoaderSetting, requests: Iterable<BatchRequest>): AsyncGenerator<HostBatch> {
  const worker = startWorker(new URL("./loader-worker.ts", import.meta.url), setting);
  const ready: HostBatch[] = [];
  let wake: (() => void) | undefined;
  let failure: Error | undefined;
  worker.on("message", (batch: HostBatch) => {
    ready.push(batch);
    wake?.();
  });
  const fail = (error: unknown) => {
    failure ??= error instanceof Error ? error : new Error(String(error));
    wake?.();
  };
  worker.on("error", fail);
  worker.on("exit", (code) => fail(new Error(`the loader's thread ended (exit code ${code})`)));
  const next = requests[Symbol.iterator]();
  let asked = 0;
  const ask = () => {
    const { value, done } = next.next();
    if (done) return;
    worker.postMessage(value);
    asked++;
  };
  try {
    for (let i = 0; i < ahead; i++) ask();
    while (asked > 0) {
      while (ready.length === 0 && !failure) await new Promise<void>((resolve) => (wake = resolve));
      if (failure) throw failure;
      asked--;
      ask();
      yield ready.shift()!;
    }
  } finally {
    worker.removeAllListeners();
    await worker.terminate();
  }
}

import { startWorker } from "./start-worker.ts";
import type { AugmentOptions } from "../augment/sample.ts";
import type { PictureFile } from "./pictures.ts";

/** What the loader's thread needs to know. */
export interface LoaderSetting {
  readonly pictures: readonly PictureFile[];
  readonly side: number;
  readonly batch: number;
  readonly epochs: number;
  /** Mosaic stops for this many epochs at the end, so that the last ones see pictures as they are. */
  readonly closeMosaic: number;
  readonly seed: number;
  readonly augment: AugmentOptions;
}

/** A batch in ordinary memory. `objects` is the padded number of objects a picture. */
export interface HostBatch {
  /** [batch, side, side, 3] float32 RGB in 0 … 1. */
  readonly images: Float32Array;
  /** [batch, objects, 4] float32, xyxy pixels. */
  readonly boxes: Float32Array;
  /** [batch, objects] class index, −1 for padding. */
  readonly classes: Int32Array;
  readonly objects: number;
}

/** Batches ahead of the step: enough that a slow picture does not stop training. */
const ahead = 3;

/** Batches of a run in order, decoded and augmented in a thread ahead of their use. */
export async function* loadBatches(setting: LoaderSetting): AsyncGenerator<HostBatch> {
  const worker = startWorker(new URL("./loader-worker.ts", import.meta.url), setting);
  const ready: HostBatch[] = [];
  let wake: (() => void) | undefined;
  let failure: Error | undefined;
  let ended = false;
  worker.on("message", (batch: HostBatch) => {
    ready.push(batch);
    wake?.();
  });
  worker.on("error", (error) => {
    failure = error instanceof Error ? error : new Error(String(error));
    wake?.();
  });
  worker.on("exit", () => {
    ended = true;
    wake?.();
  });
  try {
    for (let i = 0; i < ahead; i++) worker.postMessage("more");
    for (;;) {
      while (ready.length === 0 && !failure && !ended) await new Promise<void>((resolve) => (wake = resolve));
      if (failure) throw failure;
      const batch = ready.shift();
      if (!batch) return;
      worker.postMessage("more");
      yield batch;
    }
  } finally {
    await worker.terminate();
  }
}

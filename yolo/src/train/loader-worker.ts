// The loader's thread: decodes and augments the batches that it is asked for, one after the other.
import { parentPort, workerData } from "node:worker_threads";
import { mixSeeds, seededRandom, shuffled } from "../augment/random.ts";
import { augmentedSample } from "../augment/sample.ts";
import { padObjects } from "./collate.ts";
import type { BatchRequest, LoaderSetting } from "./loader.ts";
import { pictureSource } from "./pictures.ts";
import type { HostBatch } from "./trainer.ts";

const { pictures: files, side, batch, seed, augment, cacheBytes } = workerData as LoaderSetting;
const pictures = pictureSource(files, side, cacheBytes);

async function load({ epoch, step, mosaic }: BatchRequest): Promise<HostBatch> {
  const order = shuffled(files.length, seededRandom(mixSeeds(seed, epoch, 1)));
  const options = { ...augment, mosaic: mosaic ? augment.mosaic : 0 };
  const images = new Uint8Array(batch * side * side * 3);
  const samples = await Promise.all(
    Array.from({ length: batch }, (_, i) => {
      // The last batch of an epoch is filled up from its beginning: all batches are of one size.
      const index = order[(step * batch + i) % order.length]!;
      const into = images.subarray(i * side * side * 3, (i + 1) * side * side * 3);
      return augmentedSample(pictures, index, { side, seed: [seed, epoch, step, i], options }, into);
    }),
  );
  return { images, ...padObjects(samples) };
}

const port = parentPort!;
let last: Promise<void> = Promise.resolve();
port.on("message", (request: BatchRequest) => {
  last = last.then(async () => {
    const made = await load(request);
    port.postMessage(made, [made.images.buffer, made.boxes.buffer, made.classes.buffer] as ArrayBuffer[]);
  });
  // A picture that cannot be read ends the thread with its error, which the loader hands on.
  last.catch((error: unknown) => {
    queueMicrotask(() => {
      throw error;
    });
  });
});

// The loader's thread: decodes and augments the batches that it is asked for, one after the other.
import { parentPort, workerData } from "node:worker_threads";
import { mixSeeds, seededRandom, shuffled } from "../augment/random.ts";
import { augmentedSample } from "../augment/sample.ts";
import { limitedTo } from "../boxes/asked.ts";
import { askedMask, padObjects } from "./collate.ts";
import type { BatchRequest, LoaderSetting } from "./loader.ts";
import { pictureSource } from "./pictures.ts";
import type { HostBatch } from "./trainer.ts";

const { pictures: files, side, batch, classes, seed, augment, cacheBytes } = workerData as LoaderSetting;
const pictures = pictureSource(files, side, cacheBytes);
const masks = files.some(({ asked }) => limitedTo(asked, classes));

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
  const padded = padObjects(samples.map(({ objects }) => objects));
  if (!masks) return { images, ...padded };
  const asked = samples.map((sample) => sample.asked);
  return { images, ...padded, asked: askedMask(asked, classes) };
}

const port = parentPort!;
let last: Promise<void> = Promise.resolve();
port.on("message", (request: BatchRequest) => {
  last = last.then(async () => {
    const made = await load(request);
    const { images, boxes, classes: objectClasses, asked } = made;
    const buffers = [images, boxes, objectClasses, ...(asked ? [asked] : [])].map(({ buffer }) => buffer as ArrayBuffer);
    port.postMessage(made, buffers);
  });
  // A picture that cannot be read ends the thread with its error, which the loader hands on.
  last.catch((error: unknown) => {
    queueMicrotask(() => {
      throw error;
    });
  });
});

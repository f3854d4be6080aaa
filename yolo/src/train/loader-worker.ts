// The loader's thread: decodes every picture once, then augments batch after batch as the trainer asks for them.
import { parentPort, workerData } from "node:worker_threads";
import { mixSeeds, seededRandom, shuffled } from "../augment/random.ts";
import { augmentedSample, type LabelledObject, type Picture } from "../augment/sample.ts";
import type { HostBatch, LoaderSetting } from "./loader.ts";
import { loadPicture } from "./pictures.ts";

/** Object counts are rounded up to a multiple of this, so that a recorded step meets few different shapes. */
const objectStep = 16;

function collate(images: Float32Array, samples: readonly (readonly LabelledObject[])[]): HostBatch {
  const most = Math.max(1, ...samples.map((objects) => objects.length));
  const objects = Math.ceil(most / objectStep) * objectStep;
  const boxes = new Float32Array(samples.length * objects * 4);
  const classes = new Int32Array(samples.length * objects).fill(-1);
  samples.forEach((sample, i) =>
    sample.forEach(({ box, cls }, j) => {
      boxes.set(box, (i * objects + j) * 4);
      classes[i * objects + j] = cls;
    }),
  );
  return { images, boxes, classes, objects };
}

async function main({ pictures: files, side, batch, epochs, closeMosaic, seed, augment }: LoaderSetting): Promise<void> {
  const port = parentPort!;
  let credit = 0;
  let wake: (() => void) | undefined;
  port.on("message", () => {
    credit++;
    wake?.();
  });
  const pictures: Picture[] = [];
  for (const file of files) pictures.push(await loadPicture(file, side));
  const steps = Math.ceil(pictures.length / batch);
  for (let epoch = 0; epoch < epochs; epoch++) {
    const order = shuffled(pictures.length, seededRandom(mixSeeds(seed, epoch, 1)));
    const options = { ...augment, mosaic: augment.mosaic && epoch < epochs - closeMosaic };
    for (let step = 0; step < steps; step++) {
      while (credit === 0) await new Promise<void>((resolve) => (wake = resolve));
      credit--;
      const images = new Float32Array(batch * side * side * 3);
      const samples = Array.from({ length: batch }, (_, i) => {
        // The last batch of an epoch is filled up from its beginning: all batches are of one size.
        const index = order[(step * batch + i) % order.length]!;
        const into = images.subarray(i * side * side * 3, (i + 1) * side * side * 3);
        return augmentedSample(pictures, index, { side, seed: [seed, epoch, step, i], options }, into).objects;
      });
      const made = collate(images, samples);
      port.postMessage(made, [made.images.buffer, made.boxes.buffer, made.classes.buffer] as ArrayBuffer[]);
    }
  }
  port.close();
}

await main(workerData as LoaderSetting);

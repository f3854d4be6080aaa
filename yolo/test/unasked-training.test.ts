import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import sharp from "sharp";
import { seededRandom, uniform } from "../src/augment/random.ts";
import { defaultAugment } from "../src/augment/sample.ts";
import { analyse, confidences } from "../src/metrics/analysis.ts";
import { layoutOf } from "../src/nn/parameters.ts";
import { defaultOptions, type TrainOptions } from "../src/train/options.ts";
import type { PictureFile } from "../src/train/pictures.ts";
import { train } from "../src/train/train.ts";
import { Validator } from "../src/train/validate.ts";

const labels = ["square", "circle"];
const side = 64;

/** Pictures of an orange square and a blue circle each, both labelled. */
async function drawn(folder: string, count: number): Promise<PictureFile[]> {
  const random = seededRandom(count);
  return Promise.all(
    Array.from({ length: count }, async (_, i) => {
      const size = [0, 1].map(() => Math.round(uniform(random, 16, 28)));
      // One of them is in the left half, the other in the right one.
      const isLeft = random() < 0.5 ? 0 : 1;
      const x = size.map((own, cls) => (cls === isLeft ? 0 : side / 2) + uniform(random, 0, side / 2 - own));
      const y = size.map((own) => uniform(random, 0, side - own));
      const circle = `<circle cx="${x[1]! + size[1]! / 2}" cy="${y[1]! + size[1]! / 2}" r="${size[1]! / 2}" fill="#39f"/>`;
      const square = `<rect x="${x[0]}" y="${y[0]}" width="${size[0]}" height="${size[0]}" fill="#f92"/>`;
      const file = path.join(folder, `${count}-${i}.png`);
      const ground = `<rect width="${side}" height="${side}" fill="#333"/>`;
      const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="${side}" height="${side}">${ground}${square}${circle}</svg>`;
      await sharp(Buffer.from(svg)).png().toFile(file);
      const objects = size.map((own, cls) => ({ cls, xywh: [(x[cls]! + own / 2) / side, (y[cls]! + own / 2) / side, own / side, own / side] as const }));
      return { file, objects };
    }),
  );
}

describe("training with pictures that were asked for one class each", () => {
  let folder: string;
  before(async () => {
    folder = await mkdtemp(path.join(tmpdir(), "unasked-"));
  });
  after(() => rm(folder, { recursive: true, force: true }));

  /** How many of each class a model finds, of those that it is at least 0.6 sure of: trained on pictures, measured on others. */
  async function recalls(pictures: readonly PictureFile[], validation: readonly PictureFile[]): Promise<number[]> {
    const augment = { ...defaultAugment, mosaic: 0 };
    const options: TrainOptions = { ...defaultOptions, side, batch: 8, epochs: 4, optimizer: "AdamW", lr0: 2e-3, warmupEpochs: 1, augment };
    const end = await train({ train: pictures, validation, labels, options }, { onEpoch: async () => undefined });
    assert.ok(end.kind === "done");
    const config = { size: options.size, classes: labels.length };
    const validator = new Validator(validation, { config, layout: layoutOf(config), side, batch: options.batch, cacheBytes: 0 });
    const { evaluated } = await validator.run(end.weights);
    await validator.dispose();
    return analyse(evaluated, labels.length).curves.map(({ recall }) => recall[confidences.indexOf(0.6)]!);
  }

  // A square is labelled on every other picture, a circle on the rest, and nothing in a picture tells which. Where missing labels
  // count as negatives the best answer is therefore a score of 1/2 for either, or less: if one class is above it, the other is
  // below. What was measured of the worse class, at four seeds, three of them under AVX2, SSE4.1 and without oneDNN: 0.88 … 1, and 0 … 0.19.
  it("finds either class surely; without what was asked, missing labels make it unsure of one at least", async () => {
    const validation = await drawn(folder, 16);
    const asked = (await drawn(folder, 288)).map(({ file, objects }, i) => ({ file, objects: objects.filter(({ cls }) => cls === i % 2), asked: [i % 2] }));
    const masked = Math.min(...(await recalls(asked, validation)));
    const unmasked = Math.min(
      ...(await recalls(
        asked.map(({ file, objects }) => ({ file, objects })),
        validation,
      )),
    );
    assert.ok(masked >= 0.6 && masked - unmasked >= 0.3, `of the worse class ${masked} is found, and ${unmasked} without what was asked`);
  }).timeout(300_000);
});

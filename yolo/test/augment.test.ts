import assert from "node:assert/strict";
import fc from "fast-check";
import { augmentedSample, defaultAugment, type Picture, type PictureSource } from "../src/augment/sample.ts";

/** A black picture with one white box. */
function picture(width: number, height: number, box: [number, number, number, number]): Picture {
  const pixels = new Uint8Array(width * height * 3);
  for (let y = box[1]; y < box[3]; y++) pixels.fill(255, (y * width + box[0]) * 3, (y * width + box[2]) * 3);
  return { pixels, width, height, objects: [{ box, cls: 0 }] };
}

const side = 64;
const source = (...pictures: Picture[]): PictureSource => ({ length: pictures.length, get: async (index) => pictures[index]! });

/** The hull of what is nearly white. */
function whiteHull(values: Uint8Array): [number, number, number, number] | undefined {
  let hull: [number, number, number, number] | undefined;
  for (let y = 0; y < side; y++)
    for (let x = 0; x < side; x++) {
      if (values[(y * side + x) * 3]! < 0.6 * 255) continue;
      hull ??= [x, y, x + 1, y + 1];
      hull = [Math.min(hull[0], x), Math.min(hull[1], y), Math.max(hull[2], x + 1), Math.max(hull[3], y + 1)];
    }
  return hull;
}

describe("augmentation", () => {
  it("moves boxes with the pixels: the label is where the white is (property)", async () => {
    const options = { ...defaultAugment, mosaic: 0, hue: 0, saturation: 0, value: 0 };
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 0, max: 1e6 }), async (seed) => {
        const into = new Uint8Array(side * side * 3);
        const { objects } = await augmentedSample(source(picture(64, 48, [20, 15, 44, 33])), 0, { side, seed: [seed], options }, into);
        const hull = whiteHull(into);
        if (objects.length === 0) return;
        objects[0]!.box.forEach((value, i) => assert.ok(Math.abs(value - hull![i]!) <= 1.6, `label ${objects[0]!.box}, white ${hull}`));
      }),
      { numRuns: 60 },
    );
  });

  it("turns and shears boxes with the pixels: the label is the hull of the white (property)", async () => {
    const options = { ...defaultAugment, mosaic: 0, hue: 0, saturation: 0, value: 0, degrees: 30, shear: 10, flipUd: 0.5 };
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 0, max: 1e6 }), async (seed) => {
        const into = new Uint8Array(side * side * 3);
        const { objects } = await augmentedSample(source(picture(64, 48, [24, 18, 40, 30])), 0, { side, seed: [seed], options }, into);
        const hull = whiteHull(into);
        if (objects.length === 0) return;
        // A turned corner is thinner than a pixel: its hull may fall short of the label.
        objects[0]!.box.forEach((value, i) => assert.ok(Math.abs(value - hull![i]!) <= 4, `label ${objects[0]!.box}, white ${hull}`));
      }),
      { numRuns: 60 },
    );
  });

  it("keeps every box of a mosaic within the sample, with a size (property)", async () => {
    const pictures = source(picture(64, 48, [2, 2, 60, 40]), picture(40, 64, [5, 5, 20, 60]), picture(64, 64, [0, 0, 64, 64]));
    // All that moves pixels, so that every path of the drawing is taken.
    const options = { ...defaultAugment, mixup: 0.5, degrees: 20, shear: 5, flipUd: 0.5 };
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 0, max: 1e6 }), async (seed) => {
        const into = new Uint8Array(side * side * 3);
        const { objects } = await augmentedSample(pictures, seed % 3, { side, seed: [seed], options: seed % 2 ? options : defaultAugment }, into);
        for (const { box } of objects) assert.ok(box[0] >= 0 && box[1] >= 0 && box[2] <= side && box[3] <= side && box[2] - box[0] > 2 && box[3] - box[1] > 2);
      }),
      { numRuns: 40 },
    );
  });

  it("knows of a mosaic, and of a mixture of two, what was asked on every picture in it (property)", async () => {
    const all = [[0, 1, 2], [0, 1], [1, 2], undefined].map((asked) => ({ ...picture(64, 64, [0, 0, 64, 64]), objects: [], asked }));
    const used: number[] = [];
    const pictures: PictureSource = {
      length: all.length,
      get: async (index) => {
        used.push(index);
        return all[index]!;
      },
    };
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 0, max: 1e6 }), fc.constantFrom(0, 1), async (seed, mosaic) => {
        used.length = 0;
        const options = { ...defaultAugment, mosaic, mixup: 0.5 };
        const { asked } = await augmentedSample(pictures, seed % 4, { side, seed: [seed], options }, new Uint8Array(side * side * 3));
        assert.ok(mosaic ? used.length === 4 || used.length === 8 : used.length === 1);
        const common = [0, 1, 2].filter((cls) => used.every((i) => all[i]!.asked?.includes(cls) ?? true));
        assert.deepEqual(asked, used.every((i) => i === 3) ? undefined : common);
      }),
      { numRuns: 60 },
    );
  });

  it("is the same for the same seed", async () => {
    const run = async () => {
      const into = new Uint8Array(side * side * 3);
      await augmentedSample(source(picture(64, 48, [20, 15, 44, 33])), 0, { side, seed: [4, 2], options: defaultAugment }, into);
      return into;
    };
    assert.deepEqual(await run(), await run());
  });
});

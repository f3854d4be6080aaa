import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { InferenceSession, Tensor } from "onnxruntime-node";
import sharp from "sharp";
import { seededRandom } from "../src/augment/random.ts";
import { detectionsOf, validationNms } from "../src/boxes/nms.ts";
import { initialWeights, layoutOf } from "../src/nn/parameters.ts";
import { exportOnnx } from "../src/onnx/export.ts";
import type { PictureFile } from "../src/train/pictures.ts";
import { Validator } from "../src/train/validate.ts";
import "./instruction-set.ts";

const config = { size: "n", classes: 2 } as const;
const layout = layoutOf(config);
const side = 96;
/** Their grey rectangles: 96 × 64, 64 × 96, 96 × 96 and, of a picture that is narrower than a cell, 32 × 96. */
const sizes = [
  [96, 64],
  [56, 96],
  [96, 96],
  [90, 60],
  [20, 96],
] as const;

describe("validation", () => {
  const weights = initialWeights(layout, 3);
  // Classes that are likelier than a fresh head makes them: there are then some hundred detections to compare.
  for (const { name, offset, length } of layout.slots.values()) if (/cls\.out\.bias/.test(name)) weights.parameters.fill(-5, offset, offset + length);
  let folder: string;
  let files: PictureFile[];
  before(async () => {
    folder = await mkdtemp(path.join(tmpdir(), "validate-"));
    const random = seededRandom(1);
    files = await Promise.all(
      sizes.map(async ([width, height], i) => {
        const file = path.join(folder, `${i}.png`);
        const pixels = Uint8Array.from({ length: width * height * 3 }, () => random() * 256);
        await sharp(pixels, { raw: { width, height, channels: 3 } })
          .png()
          .toFile(file);
        return { file, objects: [{ cls: i % 2, xywh: [0.5, 0.5, 0.4, 0.5] as const }] };
      }),
    );
  });
  after(() => rm(folder, { recursive: true, force: true }));

  const validator = (split: readonly PictureFile[], batch = 2) => new Validator(split, { config, layout, side, batch, cacheBytes: 0 });

  it("finds what the model that is served finds, picture by picture, whatever their shapes", async () => {
    const session = await InferenceSession.create(exportOnnx(config, layout, weights, { side, labels: ["a", "b"] }));
    const measured = validator(files);
    const { evaluated } = await measured.run(weights);
    let compared = 0;
    for (const [i, { file }] of files.entries()) {
      const { data, info } = await sharp(file).resize(side, side, { fit: "inside" }).raw().toBuffer({ resolveWithObject: true });
      const [width, height] = [info.width, info.height].map((length) => Math.ceil(length / 32) * 32) as [number, number];
      const [left, top] = [Math.floor((width - info.width) / 2), Math.floor((height - info.height) / 2)];
      const planes = new Float32Array(3 * width * height).fill(114 / 255);
      for (let y = 0; y < info.height; y++)
        for (let x = 0; x < info.width; x++)
          for (let c = 0; c < 3; c++) planes[(c * height + y + top) * width + x + left] = data[(y * info.width + x) * 3 + c]! / 255;
      const { output0 } = await session.run({ images: new Tensor("float32", planes, [1, 3, height, width]) });
      const expected = detectionsOf(output0!.data as Float32Array, config.classes, validationNms);
      const found = evaluated[i]!.detections;
      assert.equal(found.length, expected.length, `picture ${i}`);
      // Of scores that are all but equal the order is chance.
      for (const { box, score, cls } of expected) {
        const moved = [box[0] - left, box[1] - top, box[2] - left, box[3] - top];
        const same = found.some(
          (each) => each.cls === cls && Math.abs(each.score - score) < 1e-5 && moved.every((value, k) => Math.abs(value - each.box[k]!) < 1e-3),
        );
        assert.ok(same, `picture ${i}: nothing at ${moved.join()} with class ${cls} and score ${score}`);
        compared++;
      }
    }
    assert.ok(compared > 50, `${compared} detections`);
    await measured.dispose();
    await session.release();
  }).timeout(60_000);

  it("gives the same again, and losses as means over batches in the order of the files", async () => {
    const all = validator(files);
    const [first, second] = [await all.run(weights), await all.run(weights)];
    assert.deepEqual({ ...first, seconds: 0 }, { ...second, seconds: 0 });
    await all.dispose();
    const parts = [files.slice(0, 2), files.slice(2, 4), files.slice(4)].map((part) => validator(part));
    const losses = await Promise.all(parts.map(async (part) => (await part.run(weights)).losses));
    first.losses.forEach((loss, k) => {
      const mean = losses.reduce((sum, each) => sum + each[k]!, 0) / losses.length;
      assert.ok(Math.abs(loss - mean) <= 1e-6 * Math.abs(mean), `loss ${k}: ${loss} for ${mean}`);
    });
    for (const part of parts) await part.dispose();
  }).timeout(60_000);

  it("counts, of losses and of detections, only classes that were asked", async () => {
    const run = async (asked?: readonly number[]) => {
      const measured = validator(files.map(({ file }) => ({ file, objects: [], asked })));
      const made = await measured.run(weights);
      await measured.dispose();
      return made;
    };
    const [all, both, first, second, none] = [await run(), await run([0, 1]), await run([0]), await run([1]), await run([])];
    assert.deepEqual(both.losses, all.losses);
    // Without objects the BCE of all classes is the sum of each one's.
    assert.ok(first.losses[1] > 0 && second.losses[1] > 0);
    assert.ok(Math.abs(first.losses[1] + second.losses[1] - all.losses[1]) < 1e-6 * all.losses[1]);
    assert.deepEqual(none.losses, [0, 0, 0]);
    assert.ok(first.evaluated.every(({ asked }) => asked!.join() === "0"));
  }).timeout(60_000);

  it("names a picture that went away during training, and ends its threads all the same", async () => {
    const gone = path.join(folder, "gone.png");
    const measured = validator([...files, { file: gone, objects: [] }]);
    await assert.rejects(measured.run(weights), /gone\.png cannot be read as a picture/);
    await measured.dispose();
  }).timeout(60_000);
});

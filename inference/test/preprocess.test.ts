import assert from "node:assert/strict";
import { readdir } from "node:fs/promises";
import { tmpdir } from "node:os";
import { rectangle } from "@airloom/yolo/boxes/letterbox.ts";
import sharp, { type Sharp } from "sharp";
import { BadImageError, prepare } from "../src/engine/preprocess.ts";
import { divisorOf, withShrunkJpeg } from "../src/engine/shrunk-jpeg.ts";

/** Soft colours, sharp edges, and no two corners alike. */
function picture(width: number, height: number): Sharp {
  const pixels = Buffer.alloc(width * height * 3);
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++) pixels.set([(255 * x) / width, (255 * y) / height, x < width / 4 && y < height / 3 ? 230 : 40], 3 * (y * width + x));
  return sharp(pixels, { raw: { width, height, channels: 3 } });
}

const frameOf = (width: number, height: number) => rectangle(width, height, 160, 32);

describe("pictures for the model", () => {
  it("are divided while they are decoded where that leaves enough", () => {
    const needed = { width: 640, height: 480 };
    assert.equal(divisorOf(1280, 960, needed), 2);
    assert.equal(divisorOf(1279, 959, needed), 2);
    assert.equal(divisorOf(1278, 958, needed), 1);
    assert.equal(divisorOf(640, 480, needed), 1);
    assert.equal(divisorOf(3000, 2000, needed), 4);
    assert.equal(divisorOf(5120, 3840, needed), 8);
    assert.equal(divisorOf(5120, 3840, { width: 480, height: 640 }), 4);
  });

  it("of JPEG are alike whether they were divided while decoded or scaled after it", async () => {
    const makers: Record<string, (image: Sharp) => Sharp> = {
      plain: (image) => image,
      grey: (image) => image.greyscale(),
      cmyk: (image) => image.toColourspace("cmyk"),
      ...Object.fromEntries([2, 3, 4, 5, 6, 7, 8].map((orientation) => [`turned ${orientation}`, (image: Sharp) => image.withMetadata({ orientation })])),
    };
    for (const [width, height] of [
      [320, 240],
      [321, 239],
      [700, 900],
      [1601, 400],
    ] as const)
      for (const [name, make] of Object.entries(makers)) {
        const jpeg = await make(picture(width, height)).jpeg({ quality: 95 }).toBuffer();
        const { pixels, frame, ...size } = await prepare(jpeg, frameOf);
        assert.ok(divisorOf(size.width, size.height, frame.at) > 1);
        // The same picture without loss is decoded whole and scaled by sharp.
        const png = await sharp(jpeg).keepMetadata().toColourspace("srgb").png().toBuffer();
        const whole = await prepare(png, frameOf);
        assert.deepEqual(size, { width: whole.width, height: whole.height }, name);
        assert.equal(pixels.length, whole.pixels.length, name);
        const difference = pixels.reduce((sum, value, i) => sum + Math.abs(value - whole.pixels[i]!), 0) / pixels.length;
        assert.ok(difference < 1.5, `${width} × ${height}, ${name}: the pixels differ by ${difference}`);
      }
    assert.deepEqual(
      (await readdir(tmpdir())).filter((name) => name.startsWith(`airloom-${process.pid}-`)),
      [],
      "a file is left",
    );
  }).timeout(60_000);

  it("are divided by the decoder itself, which sharp does not promise", async function () {
    if (process.platform !== "linux") this.skip();
    const jpeg = await picture(1280, 960).jpeg().toBuffer();
    for (const divisor of [2, 4, 8]) {
      const { info } = await withShrunkJpeg(jpeg, divisor, {}, (image) => image.raw().toBuffer({ resolveWithObject: true }));
      assert.deepEqual([info.width, info.height], [1280 / divisor, 960 / divisor]);
    }
  });

  it("are refused when they are cut short", async () => {
    const jpeg = await picture(1280, 960).jpeg().toBuffer();
    await assert.rejects(prepare(jpeg.subarray(0, jpeg.length / 2), frameOf), BadImageError);
  });
});

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import fc from "fast-check";
import sharp from "sharp";
import { lookBytes, lookOf, pictureHashes, planesOf } from "../../src/groups/perceptual-hash.ts";
import { asSharp, drawVaried } from "./drawn-pictures.ts";

describe("hashes of a picture", () => {
  it("the pixels' is SHA-256 of width, height and RGB", async () => {
    const data = Buffer.from([255, 0, 0, 0, 255, 0]);
    const png = await sharp(data, { raw: { width: 2, height: 1, channels: 3 } })
      .png()
      .toBuffer();
    const { pixels, width, height, look } = await pictureHashes(png);
    assert.equal(pixels, createHash("sha256").update("0000000200000001ff000000ff00", "hex").digest("hex"));
    assert.deepEqual([width, height, look.length], [2, 1, lookBytes]);
  });

  it("the pixels' is the same in any lossless file, whatever else the file says", async () => {
    const drawn = await drawVaried(1, 64, 48);
    const { pixels } = await pictureHashes(asSharp(drawn));
    const files = {
      png: await asSharp(drawn).png().toBuffer(),
      "png, packed otherwise": await asSharp(drawn).png({ compressionLevel: 9, adaptiveFiltering: true }).toBuffer(),
      "png with a comment": await asSharp(drawn)
        .withExif({ IFD0: { Copyright: "someone" } })
        .png()
        .toBuffer(),
      webp: await asSharp(drawn).webp({ lossless: true }).toBuffer(),
      "opaque transparency": await asSharp(drawn).ensureAlpha().png().toBuffer(),
      "turned, and EXIF turns it back": await asSharp(drawn).rotate(270).withMetadata({ orientation: 6 }).png().toBuffer(),
    };
    for (const [name, file] of Object.entries(files)) assert.equal((await pictureHashes(file)).pixels, pixels, name);
    const jpeg = await asSharp(drawn).jpeg().toBuffer();
    const saved = await sharp(jpeg).png().toBuffer();
    assert.equal((await pictureHashes(saved)).pixels, (await pictureHashes(jpeg)).pixels, "a JPEG saved as PNG");
  });

  it("the pixels' differs by one pixel's one level, and by shape", async () => {
    const flat = (width: number, height: number, last = 9) => {
      const data = Buffer.alloc(width * height * 3, 9);
      data[data.length - 1] = last;
      return pictureHashes(sharp(data, { raw: { width, height, channels: 3 } }));
    };
    const hashes = await Promise.all([flat(8, 4), flat(4, 8), flat(8, 4, 10)]);
    assert.equal(new Set(hashes.map(({ pixels }) => pixels)).size, 3);
  });

  it("takes grey, 16-bit, transparent and CMYK pictures, and tells width and height as a person sees them", async () => {
    const drawn = await drawVaried(2, 60, 40);
    const grey = await pictureHashes(await asSharp(drawn).greyscale().png().toBuffer());
    const asColours = await pictureHashes(await asSharp(drawn).greyscale().toColourspace("srgb").png().toBuffer());
    assert.equal(grey.pixels, asColours.pixels);
    for (const file of [
      await asSharp(drawn).toColourspace("rgb16").png().toBuffer(),
      await asSharp(drawn).ensureAlpha(0.5).png().toBuffer(),
      await asSharp(drawn).toColourspace("cmyk").jpeg().toBuffer(),
    ])
      assert.equal((await pictureHashes(file)).look.length, lookBytes);
    const turned = await pictureHashes(await asSharp(drawn).withMetadata({ orientation: 8 }).jpeg().toBuffer());
    assert.deepEqual([turned.width, turned.height], [40, 60]);
  });

  it("rejects a file that is cut short", async () => {
    const jpeg = await asSharp(await drawVaried(0))
      .jpeg()
      .toBuffer();
    await assert.rejects(pictureHashes(jpeg.subarray(0, jpeg.length / 2)));
  });
});

describe("the look of a picture", () => {
  it("has the brightness and colours of BT.601: worked by hand for red beside grey", () => {
    const rgb = Buffer.alloc(80 * 80 * 3, 100);
    for (let i = 0; i < 80 * 80; i++) if (i % 80 < 40) rgb.set([255, 0, 0], i * 3);
    const [luma, blue, red] = planesOf(lookOf(rgb));
    // 0.299 · 255 = 76.245, −0.168736 · 255 = −43.03 and 127.5; grey is its own brightness and no colour.
    for (const [plane, side, left, right] of [
      [luma, 20, 76.245, 100],
      [blue, 5, -43.03, 0],
      [red, 5, 127.5, 0],
    ] as const) {
      assert.ok(Math.abs(plane[0]! - left) < 0.3, `${plane[0]} is not ${left}`);
      assert.ok(Math.abs(plane[side - 1]! - right) < 0.3, `${plane[side - 1]} is not ${right}`);
    }
  });

  it("keeps fractions of a level where there is little contrast", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 254 }), fc.array(fc.nat(16), { minLength: 400, maxLength: 400 }), (base, counts) => {
        // So many of the 16 pixels of each cell are one level brighter.
        const rgb = Buffer.alloc(80 * 80 * 3);
        for (let y = 0; y < 80; y++)
          for (let x = 0; x < 80; x++)
            rgb.fill(base + ((y % 4) * 4 + (x % 4) < counts[Math.floor(y / 4) * 20 + Math.floor(x / 4)]! ? 1 : 0), (y * 80 + x) * 3, (y * 80 + x + 1) * 3);
        const [luma] = planesOf(lookOf(rgb));
        for (const [i, count] of counts.entries()) assert.ok(Math.abs(luma[i]! - base - count / 16) < 0.015);
      }),
      { numRuns: 20 },
    );
  });
});

// Copies that have not ended: every kind of picture, cut at every length, and with zeros for what is missing.
import assert from "node:assert/strict";
import { describePicture, NotAPicture } from "@airloom/dataset-platform/store/describe-picture.ts";
import pLimit from "p-limit";
import sharp, { type Sharp } from "sharp";
import { scene } from "./ingest-place.ts";

const kinds: Readonly<Record<string, (image: Sharp) => Sharp>> = {
  "JPEG baseline": (image) => image.jpeg({ quality: 85 }),
  "JPEG progressive": (image) => image.jpeg({ quality: 85, progressive: true }),
  "JPEG, Huffman tables of the standard": (image) => image.jpeg({ quality: 60, optimiseCoding: false }),
  PNG: (image) => image.png(),
  "PNG interlaced": (image) => image.png({ progressive: true }),
  "PNG palette": (image) => image.png({ palette: true }),
  "WebP lossy": (image) => image.webp(),
  "WebP lossless": (image) => image.webp({ lossless: true }),
};

const atOnce = pLimit(4);
const noWait = async () => undefined;
const isTaken = (data: Buffer) =>
  describePicture(data, noWait).then(
    () => true,
    (error: unknown) => {
      if (error instanceof NotAPicture) return false;
      throw error;
    },
  );
const pixels = (data: Buffer) => sharp(data, { failOn: "none" }).removeAlpha().raw().toBuffer();

/** The lengths at which a picture's beginning is taken for the whole. */
async function takenAt(lengths: readonly number[], make: (length: number) => Buffer): Promise<number[]> {
  const taken = await Promise.all(lengths.map((length) => atOnce(async () => ((await isTaken(make(length))) ? length : -1))));
  return taken.filter((length) => length >= 0);
}

describe("a picture whose copy has not ended", function () {
  this.timeout(240_000);
  for (const [kind, encode] of Object.entries(kinds)) {
    it(`${kind}: is refused at every length at which a pixel is missing`, async () => {
      const whole = await encode(scene(7, 24, 18)).toBuffer();
      assert.ok(await isTaken(whole));
      const lengths = Array.from({ length: whole.length - 1 }, (_, i) => i + 1);
      const wanted = await pixels(whole);
      // A PNG's end mark may miss: all of its pixels are there.
      for (const length of await takenAt(lengths, (n) => whole.subarray(0, n)))
        assert.ok((await pixels(whole.subarray(0, length))).equals(wanted), `taken at ${length} of ${whole.length} bytes with other pixels`);
    });

    it(`${kind}: is refused where zeros stand for what is missing`, async () => {
      const whole = await encode(scene(8, 400, 300)).toBuffer();
      const wanted = await pixels(whole);
      const lengths = Array.from({ length: 39 }, (_, i) => Math.floor((whole.length * (i + 1)) / 40)).filter((length) => whole.length - length > 4096);
      assert.ok(lengths.length >= 10, `${whole.length} bytes are too few for this test`);
      const zeros = (length: number) => Buffer.concat([whole.subarray(0, length), Buffer.alloc(whole.length - length)]);
      for (const length of await takenAt(lengths, zeros))
        assert.ok((await pixels(zeros(length))).equals(wanted), `taken with zeros from ${length} of ${whole.length} on`);
    });
  }
});

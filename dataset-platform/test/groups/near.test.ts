import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import fc from "fast-check";
import sharp from "sharp";
import { mixSeeds, seededRandom } from "../../../yolo/src/augment/random.ts";
import { type Band, bandsOf, isNear, probesOf, searchFor } from "../../src/groups/near.ts";
import { lookOf, type PictureHashes, pictureHashes } from "../../src/groups/perceptual-hash.ts";
import { asSharp, drawnKinds, drawVaried } from "./drawn-pictures.ts";
import { plants } from "./planted.ts";

const entry = ({ band, value }: Band): string => `${band}:${value}`;
const isFound = (picture: PictureHashes, stored: PictureHashes): boolean => {
  const probes = new Set(probesOf(picture).map(entry));
  return bandsOf(stored).some((band) => probes.has(entry(band)));
};

/** Any picture at all: pixels from a seed, blocks of any size, of any contrast about any grey. */
const anyPicture = fc.record({ seed: fc.integer(), block: fc.constantFrom(1, 4, 10, 40), middle: fc.nat(255), contrast: fc.nat(255) });
type AnyPicture = typeof anyPicture extends fc.Arbitrary<infer T> ? T : never;

const pixelsOf = ({ seed, block, middle, contrast }: AnyPicture): Buffer => {
  const random = seededRandom(seed);
  const blocks = Float64Array.from({ length: 80 * 80 * 3 }, () => random() - 0.5);
  const rgb = Buffer.alloc(80 * 80 * 3);
  for (let i = 0; i < rgb.length; i++) {
    const [x, y] = [Math.floor(i / 3) % 80, Math.floor(i / 240)];
    rgb[i] = Math.max(0, Math.min(255, middle + contrast * blocks[(Math.floor(y / block) * 80 + Math.floor(x / block)) * 3 + (i % 3)]!));
  }
  return rgb;
};
const hashesOf = (rgb: Buffer): PictureHashes => ({ pixels: createHash("sha256").update(rgb).digest("hex"), width: 320, height: 240, look: lookOf(rgb) });

const frame = async (level: readonly [number, number, number], noise: number, seed: number, size = { width: 320, height: 240 }): Promise<PictureHashes> => {
  const random = seededRandom(seed);
  const data = Buffer.alloc(size.width * size.height * 3);
  for (let i = 0; i < data.length; i++) data[i] = Math.max(0, Math.min(255, Math.round(level[i % 3]! + (random() + random() + random() - 1.5) * noise)));
  return pictureHashes(
    await sharp(data, { raw: { ...size, channels: 3 } })
      .jpeg({ quality: 85 })
      .toBuffer(),
  );
};

describe("entries of a picture", () => {
  it("are four of 20 bits, or a fifth of 24 for what is nearly flat; a search has a bounded number", () => {
    fc.assert(
      fc.property(anyPicture, (picture) => {
        const hashes = hashesOf(pixelsOf(picture));
        const bands = bandsOf(hashes);
        assert.ok([1, 4, 5].includes(bands.length));
        for (const { band, value } of [...bands, ...probesOf(hashes)]) {
          assert.ok(Number.isInteger(value) && value >= 0 && value < 2 ** (band === 4 ? 24 : 20) && band >= 0 && band <= 4);
        }
        // 93 windows, as they are and mirrored, four bands, four values; and eight of a flat one.
        assert.ok(probesOf(hashes).length <= 93 * 2 * 4 * 4 + 8);
      }),
      { numRuns: 20 },
    );
  });

  it("any picture finds itself, and itself in a mirror, brighter or with less contrast", () => {
    fc.assert(
      fc.property(anyPicture, (picture) => {
        const rgb = pixelsOf(picture);
        const hashes = hashesOf(rgb);
        const changed = (change: (at: number) => number): PictureHashes => ({ ...hashesOf(Buffer.from(rgb.map((_, at) => change(at)))), pixels: "changed" });
        const same = changed((at) => rgb[at]!);
        assert.ok(isFound(same, hashes) && isNear(same, hashes));
        if (bandsOf(hashes).some(({ band }) => band === 4)) return;
        const mirrored = changed((at) => rgb[at - (at % 240) + (79 - (Math.floor(at / 3) % 80)) * 3 + (at % 3)]!);
        assert.ok(isFound(mirrored, hashes) && isNear(mirrored, hashes), "mirrored");
        assert.ok(
          isNear(
            changed((at) => 30 + rgb[at]! * 0.8),
            hashes,
          ),
          "weaker",
        );
      }),
      { numRuns: 20 },
    );
  });

  it("pictures of the same pixels are near, whatever else", () => {
    fc.assert(
      fc.property(anyPicture, anyPicture, (a, b) => assert.ok(isNear({ ...hashesOf(pixelsOf(a)), pixels: "x" }, { ...hashesOf(pixelsOf(b)), pixels: "x" }))),
      { numRuns: 10 },
    );
  });
});

describe("empty frames", () => {
  it("of one darkness are one group, with their noise", async () => {
    const [a, b] = [await frame([6, 6, 8], 8, 1), await frame([6, 6, 8], 8, 2)];
    assert.deepEqual(
      bandsOf(a).map(({ band }) => band),
      [4],
    );
    assert.ok(isFound(a, b) && isNear(a, b) && isNear(b, a));
  });

  it("of other darkness, colour or shape are not", async () => {
    const dark = await frame([6, 6, 8], 8, 1);
    for (const other of [await frame([16, 16, 18], 8, 2), await frame([12, 6, 6], 8, 2), await frame([6, 6, 8], 8, 2, { width: 320, height: 180 })])
      assert.ok(!isNear(dark, other) && !isNear(other, dark));
  });

  it("are not near to a frame with a lamp in it; frames with lamps elsewhere are not near to each other", async () => {
    const lamp = async (cx: number, cy: number) => {
      const svg = Buffer.from(`<svg xmlns="http://www.w3.org/2000/svg" width="320" height="240"><circle cx="${cx}" cy="${cy}" r="12" fill="#ffd"/></svg>`);
      const night = sharp({ create: { width: 320, height: 240, channels: 3, background: { r: 6, g: 6, b: 8 } } });
      return pictureHashes(
        await night
          .composite([{ input: svg }])
          .jpeg()
          .toBuffer(),
      );
    };
    const [empty, left, right] = [await frame([6, 6, 8], 0, 1), await lamp(90, 80), await lamp(200, 160)];
    assert.ok(!isNear(left, empty) && !isNear(empty, left));
    assert.ok(!isNear(left, right) && !isNear(right, left));
    assert.ok(isNear(left, await lamp(92, 81)), "a frame later");
  });

  it("every colour within the tolerance is looked up", () => {
    const flat = (r: number, g: number, b: number): PictureHashes => {
      const rgb = Buffer.alloc(80 * 80 * 3);
      for (let i = 0; i < rgb.length; i += 3) rgb.set([r, g, b], i);
      return { pixels: `${r} ${g} ${b}`, width: 4, height: 3, look: lookOf(rgb) };
    };
    const level = fc.nat(253);
    fc.assert(
      fc.property(level, level, level, fc.nat(2), fc.nat(2), fc.nat(2), (r, g, b, dr, dg, db) => {
        const [one, other] = [flat(r, g, b), flat(r + dr, g + dg, b + db)];
        if (isNear(one, other)) assert.ok(isFound(one, other) && isFound(other, one));
        else assert.ok(dr + dg + db > 2, "so small a difference is near");
      }),
      { numRuns: 60 },
    );
  });
});

/** bench/near-duplicates.ts measures the same with many more. */
describe("planted near-duplicates", function () {
  this.timeout(120_000);
  const count = 15;

  it("are found, whichever of the two comes later", async () => {
    const missed: string[] = [];
    for (let i = 0; i < count; i++) {
      const drawn = await drawVaried(9000 + i, 240, 180);
      const original = await pictureHashes(asSharp(drawn));
      const search = searchFor(original);
      const probes = new Set(search.probes.map(entry));
      for (const [index, [name, plant]] of Object.entries(plants).entries()) {
        const changed = await pictureHashes(await plant(drawn, seededRandom(mixSeeds(i, index))));
        if (!isFound(changed, original) || !isNear(changed, original)) missed.push(`${name} of ${drawnKinds[i % drawnKinds.length]} ${i}`);
        if (!bandsOf(changed).some((band) => probes.has(entry(band))) || !search.isNear(changed)) missed.push(`${name} of ${i}, the other way`);
      }
    }
    const all = count * Object.keys(plants).length * 2;
    assert.ok(missed.length <= all * 0.03, `${missed.length} of ${all}: ${missed.join("; ")}`);
    for (const name of Object.keys(plants)) assert.ok(missed.filter((each) => each.startsWith(`${name} of`)).length <= 3, `${name}: ${missed.join("; ")}`);
  });

  it("distinct pictures are not taken for another", async () => {
    const all: PictureHashes[] = [];
    for (let i = 0; i < 250; i++) all.push(await pictureHashes(asSharp(await drawVaried(20_000 + i, 160, 120))));
    const entries = all.map((hashes) => bandsOf(hashes).map(entry));
    const wrong: string[] = [];
    for (const [i, hashes] of all.entries()) {
      const search = searchFor(hashes);
      const probes = new Set(search.probes.map(entry));
      for (const [j, other] of all.entries()) if (i !== j && entries[j]!.some((each) => probes.has(each)) && search.isNear(other)) wrong.push(`${i} ~ ${j}`);
    }
    assert.deepEqual(wrong, []);
  });
});

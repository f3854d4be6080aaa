import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import sharp from "sharp";
import { groupImages } from "@airloom/dataset-platform/groups/group-images.ts";
import { pictureHashes } from "@airloom/dataset-platform/groups/perceptual-hash.ts";
import { addImage } from "@airloom/dataset-platform/registry/images.ts";
import type { Registry } from "@airloom/dataset-platform/registry/registry.ts";
import { problemsOfRows } from "@airloom/dataset-platform/verify/rows.ts";
import { drawPicture } from "../../../scripts/demo/draw.ts";
import { inventImage, openTestRegistry, runKey, type TestRegistry } from "../registry/open-registry.ts";

/** A photograph-like picture: a few hundred large soft blots, none like those of another seed. */
async function scene(seed: number): Promise<Buffer> {
  let state = seed * 7919 + 17;
  const random = () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 32;
  const blots = Array.from(
    { length: 60 },
    () =>
      `<ellipse cx="${random() * 320}" cy="${random() * 240}" rx="${10 + random() * 60}" ry="${10 + random() * 60}" fill="hsl(${random() * 360},${random() * 100}%,${random() * 100}%)"/>`,
  );
  return sharp(Buffer.from(`<svg xmlns="http://www.w3.org/2000/svg" width="320" height="240">${blots.join("")}</svg>`))
    .blur(2)
    .removeAlpha()
    .png()
    .toBuffer();
}

describe("groups", () => {
  let test: TestRegistry;
  beforeEach(async () => (test = await openTestRegistry()));
  afterEach(() => test.close());

  async function add(registry: Registry, file: Buffer, facts: { source_id?: string; original_name?: string; captured_at?: string } = {}): Promise<string> {
    const { pixels, look, width, height } = await pictureHashes(file);
    const digest = (algorithm: string) => createHash(algorithm).update(file).digest("hex");
    const image = { ...inventImage(), sha256: digest("sha256"), md5: digest("md5"), bytes: file.length, width, height, pixels, look, ...facts };
    await registry.transaction((trx) => addImage(trx, image, runKey("r")));
    return image.sha256;
  }
  const groupOf = async (sha256: string) =>
    (await test.registry.db.selectFrom("images").select("group_id").where("sha256", "=", sha256).executeTakeFirstOrThrow()).group_id;

  it("hold the same pixels and near-duplicates, which join what was there first, and nothing else", async () => {
    const originals = await Promise.all([1, 2, 3, 4].map(scene));
    const shas = [];
    for (const original of originals) shas.push(await add(test.registry, original));
    assert.deepEqual(await groupImages(test.registry), { grouped: 4, joined: 0 });
    const copies = await Promise.all([
      sharp(originals[0])
        .png({ compressionLevel: 1 })
        .withExif({ IFD0: { Copyright: "x" } })
        .toBuffer(),
      sharp(originals[1]).jpeg({ quality: 60 }).toBuffer(),
      sharp(originals[2]).flop().toBuffer(),
      sharp(originals[3]).extract({ left: 16, top: 12, width: 288, height: 216 }).toBuffer(),
    ]);
    const copied = [];
    for (const copy of copies) copied.push(await add(test.registry, copy));
    assert.deepEqual(await groupImages(test.registry), { grouped: 4, joined: 4 });
    assert.deepEqual(await Promise.all(copied.map(groupOf)), shas);
    assert.deepEqual(await groupImages(test.registry), { grouped: 0, joined: 0 });
    for await (const problem of problemsOfRows(test.registry.db)) assert.fail(JSON.stringify(problem));
  });

  it("find each other where two alike come at the same moment, by two programs", async () => {
    const other = await test.again();
    const original = await scene(9);
    const [a, b] = await Promise.all([add(test.registry, original), add(other, await sharp(original).jpeg({ quality: 80 }).toBuffer())]);
    await Promise.all([groupImages(test.registry), groupImages(other)]);
    assert.equal(await groupOf(a), await groupOf(b));
  });

  it("hold a recording where its source says that names or times tell", async () => {
    const { db } = test.registry;
    await db.insertInto("sources").values({ id: "clips", recording_names: true }).execute();
    await db.insertInto("sources").values({ id: "cam", recording_gap_seconds: 5 }).execute();
    const clips = [];
    for (const [i, name] of ["a-0001.png", "a-0002.png", "b-0001.png"].entries())
      clips.push(await add(test.registry, await scene(20 + i), { source_id: "clips", original_name: name }));
    const shots = [];
    for (const [i, at] of ["2026-01-01T10:00:00", "2026-01-01T10:00:04", "2026-01-01T10:00:30"].entries())
      shots.push(await add(test.registry, await scene(30 + i), { source_id: "cam", captured_at: at }));
    await groupImages(test.registry);
    assert.deepEqual(await Promise.all(clips.map(groupOf)), [clips[0], clips[0], clips[2]]);
    assert.deepEqual(await Promise.all(shots.map(groupOf)), [shots[0], shots[0], shots[2]]);
  });

  it("are the pictures' own for what the demo draws", async () => {
    for (let i = 0; i < 60; i++) await add(test.registry, (await drawPicture(i)).jpeg);
    const { joined } = await groupImages(test.registry);
    assert.ok(joined <= 1, `${joined} of 60 drawn pictures were taken for near-duplicates`);
  });
});

import assert from "node:assert/strict";
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { execa } from "execa";
import sharp from "sharp";
import { Registry } from "../src/registry/registry.ts";
import { ingest, verifyImage } from "../src/store/ingest.ts";
import { imagePath, storageLayout } from "../src/store/layout.ts";

/** A PNG of one colour; different numbers give different bytes. */
const picture = (n: number) =>
  sharp({ create: { width: 20 + n, height: 16, channels: 3, background: { r: n, g: 255 - n, b: 7 } } })
    .png()
    .toBuffer();

async function makePlace() {
  const root = await mkdtemp(path.join(tmpdir(), "ingest-"));
  const incoming = path.join(root, "incoming");
  await mkdir(incoming);
  const storage = storageLayout(path.join(root, "storage"));
  return { root, incoming, storage, remove: () => rm(root, { recursive: true, force: true }) };
}

async function storedFiles(images: string): Promise<string[]> {
  const entries = await readdir(images, { recursive: true, withFileTypes: true }).catch(() => []);
  return entries.filter((entry) => entry.isFile()).map((entry) => path.join(entry.parentPath, entry.name));
}

describe("ingest", () => {
  let place: Awaited<ReturnType<typeof makePlace>>;
  let registry: Registry;
  beforeEach(async () => {
    place = await makePlace();
    registry = await Registry.open(place.storage.registry);
  });
  afterEach(async () => {
    await registry.close();
    await place.remove();
  });
  const run = () => ingest({ ...place, registry, sourceId: "cam" });

  it("stores pictures under their SHA-256 and empties the folder; the same bytes are taken once", async () => {
    // The hash to expect comes from sha256sum.
    await writeFile(path.join(place.incoming, "a.png"), await picture(1));
    await writeFile(path.join(place.incoming, "same as a.png"), await picture(1));
    await writeFile(path.join(place.incoming, "b.png"), await picture(2));
    const { stdout } = await execa("sha256sum", [path.join(place.incoming, "a.png")]);
    const sha256 = stdout.slice(0, 64);
    const report = await run();
    assert.equal(report.added.length, 2);
    assert.ok(report.added.includes(sha256));
    assert.deepEqual(report.known, ["same as a.png"]);
    assert.deepEqual(await readdir(place.incoming), []);
    assert.deepEqual(await readFile(path.join(place.storage.images, imagePath(sha256, "png"))), await picture(1));
    assert.equal((await registry.tryFindImage(sha256))?.source_id, "cam");
  });

  it("takes the source's own sub-folder too, and leaves other folders, hidden files and links alone", async () => {
    await mkdir(path.join(place.incoming, "cam"));
    await mkdir(path.join(place.incoming, "other"));
    await writeFile(path.join(place.incoming, "cam", "a.png"), await picture(1));
    await writeFile(path.join(place.incoming, "other", "b.png"), await picture(2));
    await writeFile(path.join(place.incoming, ".gitkeep"), "");
    await symlink("/etc/hostname", path.join(place.incoming, "link.png"));
    assert.equal((await run()).added.length, 1);
    assert.deepEqual((await readdir(place.incoming)).toSorted(), [".gitkeep", "cam", "link.png", "other"]);
  });

  it("refuses a source that would lead out of incoming/", async () => {
    for (const sourceId of ["..", ".", "../storage", "a/b", "", "rejected", "x".repeat(101)])
      await assert.rejects(ingest({ ...place, registry, sourceId }), /cannot be a source/);
  });

  it("moves what is no picture to rejected/ with the reason, and takes the rest", async () => {
    const whole = await sharp({ create: { width: 300, height: 300, channels: 3, background: "red" } })
      .jpeg()
      .toBuffer();
    const bomb = await sharp({ create: { width: 12_000, height: 12_000, channels: 3, background: "red" } })
      .png()
      .toBuffer();
    const files = {
      "text.jpg": Buffer.from("hello"),
      "empty.png": Buffer.alloc(0),
      "cut.jpg": whole.subarray(0, whole.length / 2),
      "bomb.png": bomb,
      "vector.png": Buffer.from('<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>'),
      "good.jpg": whole,
    };
    for (const [name, data] of Object.entries(files)) await writeFile(path.join(place.incoming, name), data);
    const report = await run();
    assert.equal(report.added.length, 1);
    const why = Object.fromEntries(report.rejected.map((entry) => [entry.name, entry.why]));
    assert.deepEqual(Object.keys(why).toSorted(), ["bomb.png", "cut.jpg", "empty.png", "text.jpg", "vector.png"]);
    assert.match(why["bomb.png"]!, /pixel/i);
    assert.match(why["vector.png"]!, /svg/);
    assert.deepEqual(await readFile(path.join(place.incoming, "rejected", "text.jpg"), "utf8"), "hello");
    assert.match(await readFile(path.join(place.incoming, "rejected", "empty.png.why.txt"), "utf8"), /empty/);
  });

  it("never gives one image to two batches, also when runs choose at once", async () => {
    for (let n = 0; n < 12; n++) await writeFile(path.join(place.incoming, `${n}.png`), await picture(n));
    await run();
    const second = await Registry.open(place.storage.registry);
    const claim = (store: Registry, id: string) => store.claimBatch({ id, runId: `run ${id}`, sourceId: "cam", size: 5, now: "2026-01-01T00:00:00Z" });
    await Promise.all([claim(registry, "a"), claim(second, "b"), claim(registry, "c")]);
    const batches = await Promise.all(["a", "b", "c"].map((id) => registry.imagesOfBatch(id)));
    const all = batches.flat().map((image) => image.sha256);
    assert.equal(new Set(all).size, all.length);
    assert.equal(all.length, 12);
    // A retry of a run gets its own batch again, and a fourth run nothing.
    assert.equal((await claim(second, "a"))?.id, "a");
    assert.equal(await claim(second, "d"), undefined);
    await second.close();
  });
});

describe("ingest, killed at each of its writes and run again", () => {
  const child = fileURLToPath(new URL("ingest-killed.ts", import.meta.url));
  // Three pictures, one of them twice, and one file that is no picture: 3 × 3 writes, 3 for the double, 1 for the reject.
  const steps = 13;

  for (let at = 1; at <= steps; at++)
    it(`loses nothing and has nothing twice: SIGKILL at write ${at}`, async () => {
      const place = await makePlace();
      try {
        for (const [name, n] of [
          ["a", 1],
          ["b", 2],
          ["b again", 2],
          ["c", 3],
        ] as const)
          await writeFile(path.join(place.incoming, `${name}.png`), await picture(n));
        await writeFile(path.join(place.incoming, "zz.png"), "not a picture");
        const first = await execa(process.execPath, ["--import", "tsx", child, place.root, String(at)], { reject: false });
        assert.equal(first.signal, "SIGKILL");
        const registry = await Registry.open(place.storage.registry);
        await ingest({ ...place, registry, sourceId: "cam" });
        const rows = await registry.allImages();
        await registry.close();
        assert.equal(rows.length, 3);
        const files = await storedFiles(place.storage.images);
        assert.equal(files.filter((file) => !path.basename(file).startsWith(".")).length, 3);
        for (const row of rows) assert.ok(await verifyImage(path.join(place.storage.images, imagePath(row.sha256, row.extension))));
        assert.deepEqual(await readdir(place.incoming), ["rejected"]);
        assert.ok((await readdir(path.join(place.incoming, "rejected"))).includes("zz.png"));
      } finally {
        await place.remove();
      }
    }).timeout(30_000);
});

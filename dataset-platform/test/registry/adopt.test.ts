import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { execa } from "execa";
import sharp from "sharp";
import { boxesOf } from "@airloom/dataset-platform/registry/annotations.ts";
import { claimBatch } from "@airloom/dataset-platform/registry/batches.ts";
import { allClasses } from "@airloom/dataset-platform/registry/classes.ts";
import { Registry, WrongStorage } from "@airloom/dataset-platform/registry/registry.ts";
import { imagePath, labelPath, type StorageLayout, storageLayout } from "@airloom/dataset-platform/store/layout.ts";
import { newDatabase, type TestDatabase } from "../../../test/database.ts";
import { addImages, programs, runKey } from "./open-registry.ts";

/** The tables as Airloom 0.1 made them, in SQLite. */
const legacy = `
import sqlite3, sys
db = sqlite3.connect(sys.argv[1])
db.execute("create table images (sha256 text primary key, md5 text, extension text, bytes integer, width integer, height integer, orientation integer, source_id text, original_name text, ingested_at text, batch_id text, labelled_at text)")
db.execute("create table batches (id text primary key, run_id text unique, source_id text, created_at text, cvat_task_id integer)")
first, second, third = sys.argv[2:]
db.execute("insert into batches values ('0123456789', 'manual__1', 'gate', '2026-01-01T00:00:00.000Z', 5)")
for sha, source, batch, at in ((first, "gate", "0123456789", "2026-01-02T00:00:00.000Z"), (second, "gate", "0123456789", None), (third, "yard", None, None)):
    db.execute("insert into images values (?, 'x', 'png', 1, 1, 1, 1, ?, ?, '2026-01-01T00:00:00.000Z', ?, ?)", (sha, source, source + ".png", batch, at))
db.commit()
`;

describe("a registry beside a storage folder", () => {
  let root: string;
  let storage: StorageLayout;
  const databases: TestDatabase[] = [];
  const opened: Registry[] = [];
  const said: string[] = [];

  const database = async () => {
    const made = await newDatabase();
    databases.push(made);
    return made.url;
  };
  const open = async (url: string, layout = storage) => {
    const registry = await Registry.open({ url, storage: layout, ...programs, say: (line) => said.push(line) });
    opened.push(registry);
    return registry;
  };
  const images = async (registry: Registry) =>
    registry.db.selectFrom("images").select(["sha256", "state", "source_id", "original_name", "width", "height"]).orderBy("sha256").execute();

  /** Three pictures, two of them labelled. */
  async function fill(): Promise<string[]> {
    const sha256s: string[] = [];
    for (let i = 0; i < 3; i++) {
      const png = await sharp({ create: { width: 20 + i, height: 10, channels: 3, background: { r: i, g: 0, b: 0 } } })
        .png()
        .toBuffer();
      const sha256 = createHash("sha256").update(png).digest("hex");
      sha256s.push(sha256);
      await mkdir(path.join(storage.images, sha256.slice(0, 2), sha256.slice(2, 4)), { recursive: true });
      await writeFile(path.join(storage.images, imagePath(sha256, "png")), png);
    }
    await writeFile(storage.classes, "car\ntruck\n");
    await writeFile(path.join(storage.images, labelPath(sha256s[0]!)), "1 0.500000 0.500000 0.250000 0.125000\n");
    return sha256s;
  }

  beforeEach(async () => {
    root = await mkdtemp(path.join(tmpdir(), "adopt-"));
    storage = storageLayout(path.join(root, "storage"));
    said.length = 0;
  });
  afterEach(async () => {
    for (const registry of opened.splice(0)) await registry.close();
    for (const made of databases.splice(0)) await made.drop();
    await rm(root, { recursive: true, force: true });
  });

  it("takes in the pictures of a folder that it does not know, and labels stay labels", async () => {
    const [first, second, third] = await fill();
    await writeFile(path.join(storage.images, labelPath(second!)), "");
    const registry = await open(await database());
    const found = await images(registry);
    assert.deepEqual(
      found.map(({ sha256, state, source_id }) => [sha256, state, source_id]),
      [
        [first, "labelled", "found"],
        [second, "labelled", "found"],
        [third, "new", "found"],
      ].toSorted(),
    );
    const { annotation_id } = await registry.db.selectFrom("images").select("annotation_id").where("sha256", "=", first!).executeTakeFirstOrThrow();
    assert.deepEqual((await boxesOf(registry.db, [annotation_id!])).get(annotation_id!), [{ classId: 1, xywh: [0.5, 0.5, 0.25, 0.125], how: "drawn" }]);
    assert.deepEqual(
      (await allClasses(registry.db)).map(({ name }) => name),
      ["car", "truck"],
    );
    // The next batch holds what nobody has labelled, and nothing else.
    const claim = await claimBatch(registry.db, {
      run: runKey("r"),
      sourceId: "found",
      size: 10,
      runAfter: "2026-01-01T00:00:00.000Z",
      isOver: async () => false,
    });
    assert.equal((await registry.db.selectFrom("batch_images").selectAll().where("batch_id", "=", claim!.batch.id).execute()).length, 1);
    // Once: opened again, nothing is taken in.
    said.length = 0;
    await open(databases[0]!.url);
    assert.deepEqual(said, []);
  });

  it("takes over the SQLite registry of an earlier Airloom once: sources, names, and batches that are open", async () => {
    const [first, second, third] = (await fill()) as [string, string, string];
    await mkdir(storage.private, { recursive: true });
    await execa("python3", ["-c", legacy, storage.registry, first, second, third]);
    const registry = await open(await database());
    const found = new Map((await images(registry)).map((row) => [row.sha256, row]));
    assert.deepEqual(
      [first, second, third].map((sha256) => [found.get(sha256)!.state, found.get(sha256)!.source_id, found.get(sha256)!.original_name]),
      [
        ["labelled", "gate", "gate.png"],
        ["claimed", "gate", "gate.png"],
        ["new", "yard", "yard.png"],
      ],
    );
    const adopted = await claimBatch(registry.db, {
      run: runKey("next"),
      sourceId: "gate",
      size: 10,
      runAfter: "2026-01-01T00:00:00.000Z",
      isOver: async () => true,
    });
    assert.deepEqual([adopted!.how, adopted!.batch.id], ["adopted", "0123456789"]);
    await assert.rejects(readFile(storage.registry), /ENOENT/);
    await readFile(`${storage.registry}.taken-over`);
  });

  it("does it once where two programs start at the same moment", async () => {
    await fill();
    const url = await database();
    const registries = await Promise.all(Array.from({ length: 6 }, () => open(url)));
    assert.equal((await images(registries[0]!)).length, 3);
    assert.equal(said.filter((line) => line.includes("taken in,")).length, 1);
  });

  it("refuses a folder that is not its own: a volume that is not mounted, or another registry's", async () => {
    const url = await database();
    await addImages(await open(url), 2);
    const empty = storageLayout(path.join(root, "elsewhere"));
    await assert.rejects(open(url, empty), (error) => error instanceof WrongStorage && error.message.includes("is its volume mounted"));
    await assert.rejects(readFile(path.join(empty.private, "storage-id")), /ENOENT/);
    const other = storageLayout(path.join(root, "other"));
    await open(await database(), other);
    await assert.rejects(open(url, other), (error) => error instanceof WrongStorage && error.message.includes("belongs to another registry"));
  });

  it("says which label cannot be read, and lets its picture be labelled again", async () => {
    const [, second] = (await fill()) as [string, string];
    await writeFile(path.join(storage.images, labelPath(second)), "7 0.5 0.5 0.1 0.1\n");
    const registry = await open(await database());
    assert.ok(
      said.some((line) => line.includes(`${second}.txt:1`) && line.includes("waits to be labelled again")),
      said.join("\n"),
    );
    assert.equal((await images(registry)).find(({ sha256 }) => sha256 === second)!.state, "new");
  });
});

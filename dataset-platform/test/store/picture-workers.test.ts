import assert from "node:assert/strict";
import { mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { type PictureWorkers, startPictureWorkers, WorkerDied } from "@airloom/dataset-platform/store/picture-workers.ts";
import { lookOf } from "@airloom/dataset-platform/store/settled.ts";
import { execa } from "execa";
import sharp from "sharp";
import { picture } from "./ingest-place.ts";

describe("the processes that work on pictures", function () {
  this.timeout(60_000);
  let folder: string;
  let workers: PictureWorkers;
  beforeEach(async () => {
    folder = await mkdtemp(path.join(tmpdir(), "workers-"));
    workers = startPictureWorkers(2);
  });
  afterEach(async () => {
    workers.close();
    await rm(folder, { recursive: true, force: true });
  });

  const store = async (name: string, data: Buffer) => {
    const taken = path.join(folder, name);
    await writeFile(taken, data);
    const { stdout } = await execa("sha256sum", [taken]);
    const targets = Object.fromEntries(["jpg", "png", "webp"].map((extension) => [extension, path.join(folder, "store", `${name}.${extension}`)]));
    return workers.run({ kind: "store", file: { taken, look: lookOf(await stat(taken)), sha256: stdout.slice(0, 64), targets, mayGrow: false } });
  };
  const children = async () => (await execa("pgrep", ["-P", String(process.pid)], { reject: false })).stdout.split("\n").filter(Boolean).map(Number);

  it("never show a stranger's XML to librsvg, nor any file to another loader than the three", async () => {
    // libvips, asked alone, takes all of them by their content.
    const svg = Buffer.from('<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>');
    assert.equal((await sharp(svg).metadata()).format, "svg");
    for (const [name, data] of Object.entries({
      "a.png": svg,
      "b.jpg": await sharp(await picture(1))
        .gif()
        .toBuffer(),
      "c.webp": await sharp(await picture(1))
        .tiff()
        .toBuffer(),
    }))
      assert.equal((await store(name, data)).kind, "refused", name);
  });

  it("decode pictures of many pixels one at a time, and all of them", async () => {
    const large = await sharp({ create: { width: 5000, height: 4000, channels: 3, background: "red" } })
      .png()
      .toBuffer();
    const results = await Promise.all(Array.from({ length: 4 }, (_, i) => store(`${i}.png`, large)));
    assert.deepEqual(
      results.map(({ kind }) => kind),
      ["stored", "stored", "stored", "stored"],
    );
  });

  it("that end with what they were given are told of, and others take their place", async () => {
    await store("a.png", await picture(1));
    const [child] = (await children()).toReversed();
    // Stopped, it holds its next job without an answer.
    process.kill(child!, "SIGSTOP");
    const held = store("b.png", await picture(2));
    const failed = assert.rejects(held, WorkerDied);
    await execa("sleep", ["0.2"]);
    process.kill(child!, "SIGKILL");
    await failed;
    assert.equal((await store("c.png", await picture(3))).kind, "stored");
  });

  it("end with the process that started them, however it ends", async () => {
    const module = JSON.stringify(new URL("../../src/store/picture-workers.ts", import.meta.url).href);
    const script = `import { startPictureWorkers } from ${module}; const w = startPictureWorkers(1); await w.run({ kind: "finish", files: [] }); console.log("started"); setInterval(() => {}, 1000);`;
    await writeFile(path.join(folder, "parent.mts"), script);
    const parent = execa(process.execPath, ["--import", "tsx", path.join(folder, "parent.mts")], {
      cwd: path.dirname(new URL(import.meta.url).pathname),
      reject: false,
    });
    await new Promise((resolve) => parent.stdout.once("data", resolve));
    const [child] = (await execa("pgrep", ["-P", String(parent.pid)])).stdout.split("\n").map(Number);
    parent.kill("SIGKILL");
    await parent;
    for (let tries = 0; tries < 200; tries++) {
      try {
        process.kill(child!, 0);
      } catch {
        return;
      }
      await execa("sleep", ["0.05"]);
    }
    assert.fail("the process outlived its parent");
  });
});

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { appendFileSync, closeSync, openSync, writeFileSync, writeSync } from "node:fs";
import { chmod, mkdir, readdir, readFile, rm, stat, symlink, utimes, writeFile } from "node:fs/promises";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { findImages } from "@airloom/dataset-platform/registry/images.ts";
import { BadSourceId, ingest } from "@airloom/dataset-platform/store/ingest.ts";
import { imagePath } from "@airloom/dataset-platform/store/layout.ts";
import { tryReadPredictions } from "@airloom/dataset-platform/store/predictions.ts";
import { type Job, type PictureWorkers, startPictureWorkers, WorkerDied } from "@airloom/dataset-platform/store/picture-workers.ts";
import { execa } from "execa";
import sharp from "sharp";
import { closeSharedWorkers, type IngestPlace, openIngestPlace, picture, scene } from "./ingest-place.ts";

const now = () => new Date();

/** The usual processes, and something that happens before each job that they are given. */
function meddling(before: (job: Job) => void): PictureWorkers {
  const workers = startPictureWorkers(1);
  meddled.push(workers);
  return {
    ...workers,
    run: async (job) => {
      before(job);
      return workers.run(job);
    },
  };
}
const meddled: PictureWorkers[] = [];

/** Processes that a picture's decoding ends. */
const deadly = (name: string, signal = "SIGSEGV") =>
  meddling((job) => {
    if (job.kind === "store" && job.file.taken.endsWith(name)) throw new WorkerDied(`the process that decodes it ended (${signal})`, signal !== "SIGKILL");
  });

/** Root may read everything; files that it may not read are tried with the rights of nobody. */
async function withRightsOfNobody<T>(work: () => Promise<T>): Promise<T> {
  process.setegid!(65534);
  process.seteuid!(65534);
  try {
    return await work();
  } finally {
    process.seteuid!(0);
    process.setegid!(0);
  }
}

describe("ingest", () => {
  let place: IngestPlace;
  beforeEach(async () => {
    place = await openIngestPlace();
  });
  afterEach(() => place.close());
  after(() => {
    closeSharedWorkers();
    for (const workers of meddled) workers.close();
  });

  it("stores pictures under their SHA-256 and empties the folder; the same bytes are taken once", async () => {
    await place.put("a.png", await picture(1));
    await place.put("same as a.png", await picture(1));
    await place.put("b.jpg", await picture(2, "jpeg"));
    // The hashes to expect come from other programs.
    const file = path.join(place.incoming, "a.png");
    const [sha256 = "", md5] = [await execa("sha256sum", [file]), await execa("md5sum", [file])].map(({ stdout }) => stdout.split(" ")[0]);
    const report = await place.run();
    assert.equal(report.added.length, 2);
    assert.deepEqual(report.known, ["same as a.png"]);
    assert.deepEqual(await readdir(place.incoming), []);
    const stored = path.join(place.storage.images, imagePath(sha256, "png"));
    assert.deepEqual(await readFile(stored), await picture(1));
    assert.equal((await stat(stored)).mode & 0o777, 0o444);
    const [row] = await findImages(place.registry.db, [sha256]);
    const { md5: kept, width, height, orientation, source_id, original_name, state } = row!;
    assert.deepEqual(
      { kept, width, height, orientation, source_id, original_name, state },
      { kept: md5, width: 21, height: 16, orientation: 1, source_id: "cam", original_name: "a.png", state: "new" },
    );
    assert.deepEqual(await place.faults(), []);
  });

  it("keeps the order of names, in which batches are chosen", async () => {
    for (let n = 0; n < 100; n++) await place.put(`${String(n).padStart(3, "0")}.png`, await picture(n));
    await place.run();
    const names = (await place.rows()).map((row) => row.original_name);
    assert.deepEqual(names, names.toSorted());
  });

  it("records the orientation that a picture is shown in", async () => {
    for (const format of ["jpeg", "png", "webp"] as const)
      for (let orientation = 1; orientation <= 8; orientation++)
        await place.put(
          `${format}-${orientation}`,
          await sharp(await picture(orientation))
            .toFormat(format)
            .withMetadata({ orientation })
            .toBuffer(),
        );
    await place.run();
    const rows = await place.rows();
    assert.equal(rows.length, 24);
    for (const { original_name, orientation } of rows) assert.equal(orientation, Number(original_name.at(-1)), original_name);
  });

  describe("which files a run takes", () => {
    it("the root, the source's own folder and all beneath it; the rest is left and told", async () => {
      const names = ["root.png", "cam/a.png", "cam/2024/05/b.png", "other/c.png", "my trip/d.png", "rejected/e.png", ".hidden/f.png", "cam/.hidden.png"];
      for (const [n, name] of names.entries()) await place.put(name, await picture(n));
      await symlink("/etc/hostname", path.join(place.incoming, "link.png"));
      await symlink(path.join(place.incoming, "other"), path.join(place.incoming, "cam", "loop"));
      execFileSync("mkfifo", [path.join(place.incoming, "cam", "pipe")]);
      const lines: string[] = [];
      await place.run({ note: (line) => lines.push(line) });
      assert.deepEqual((await place.rows()).map((row) => row.original_name).toSorted(), ["cam/2024/05/b.png", "cam/a.png", "root.png"]);
      assert.deepEqual(await place.files(), [
        ".hidden/f.png",
        "cam/.hidden.png",
        "cam/loop",
        "cam/pipe",
        "link.png",
        "my trip/d.png",
        "other/c.png",
        "rejected/e.png",
      ]);
      const told = lines.join("\n");
      for (const part of [
        /left for runs of their own source: other\//,
        /my trip/,
        /links are not followed: link\.png/,
        /links.*loop/,
        /neither files nor folders: pipe/,
        /1 files directly in .* source "cam"/,
      ])
        assert.match(told, part);
      assert.equal(lines.filter((line) => line.includes("other/")).length, 1);
    });

    it("refuses a source that would lead out of incoming/", async () => {
      for (const sourceId of ["..", ".", "../storage", "a/b", "", "rejected", ".taking", "x".repeat(101), "a\n"])
        await assert.rejects(place.run({ sourceId }), BadSourceId);
    });

    it("a source's folder on a volume of its own", async function () {
      const folder = path.join(place.incoming, "cam");
      await mkdir(folder);
      const mounted = await execa("mount", ["-t", "tmpfs", "none", folder], { reject: false });
      // Mounting takes rights that a test seldom has; under them the two volumes are tried.
      if (mounted.exitCode !== 0) return this.skip();
      try {
        await place.put("cam/a.png", await picture(1));
        await place.put("cam/broken.jpg", "no picture at all");
        const report = await place.run();
        assert.deepEqual([report.added.length, report.rejected.length, report.failed], [1, 1, []]);
        assert.deepEqual(await readdir(folder), []);
        assert.deepEqual((await place.files()).toSorted(), ["rejected/broken.jpg", "rejected/broken.jpg.why.txt"]);
      } finally {
        await execa("umount", [folder]);
      }
    });

    it("names as drops have them", async () => {
      const names = [
        "line\nbreak.png",
        "\u{1f697} emoji.png",
        "-rf.png",
        `${"0".repeat(251)}.png`,
        `${"街".repeat(83)}.png`,
        "UPPER.PNG",
        "no extension",
        "picture.jpg",
        "a'b\"c$(d).png",
      ];
      for (const [n, name] of names.entries()) await place.put(name, await picture(n));
      // Two names of bytes that are no UTF-8 and read the same.
      for (const [i, byte] of [0xe8, 0xe9].entries())
        writeFileSync(Buffer.concat([Buffer.from(`${place.incoming}/caf`), Buffer.from([byte]), Buffer.from(".png")]), await picture(100 + i));
      // Deeper than the registry's index takes a name.
      await place.put(`cam/${`${"d".repeat(200)}/`.repeat(15)}deep.png`, await picture(200));
      const report = await place.run();
      assert.deepEqual([report.rejected, report.failed, report.waiting], [[], [], []]);
      assert.equal(report.added.length, names.length + 3);
      assert.deepEqual(await place.files(), []);
      const rows = await place.rows();
      assert.ok(names.every((name) => rows.some((row) => row.original_name === name)));
      assert.ok(rows.every((row) => row.extension === "png"));
      assert.ok(rows.some((row) => row.original_name.endsWith("/deep.png")));
      assert.deepEqual(await place.faults(), []);
    });
  });

  describe("a file that is still written", () => {
    it("waits while it grows between two looks, and is taken whole later", async () => {
      const whole = await scene(3).jpeg().toBuffer();
      const file = await place.put("slow.jpg", whole.subarray(0, 1000), now());
      const growing = place.run({ settleMs: 300 });
      for (let at = 1000; at < 2000; at += 100) {
        await sleep(20);
        appendFileSync(file, whole.subarray(at, at + 100));
      }
      const report = await growing;
      assert.deepEqual(
        report.waiting.map(({ name }) => name),
        ["slow.jpg"],
      );
      assert.deepEqual(await place.files(), ["slow.jpg"]);
      appendFileSync(file, whole.subarray(2000));
      assert.equal((await place.run()).added.length, 1);
      assert.deepEqual(await place.faults(), []);
    });

    it("cut, empty or full of zeros, waits for a minute where it can be found; then it is rejected", async () => {
      const whole = await scene(4).png().toBuffer();
      const files = {
        "cut.png": whole.subarray(0, whole.length / 2),
        "empty.png": Buffer.alloc(0),
        "room.jpg": Buffer.alloc(100_000),
        "started.jpg": whole.subarray(0, 5),
      };
      for (const [name, data] of Object.entries(files)) await place.put(name, data, now());
      const first = await place.run();
      assert.deepEqual(first.waiting.map(({ name }) => name).toSorted(), Object.keys(files).toSorted());
      assert.deepEqual([first.rejected, await place.files()], [[], Object.keys(files).toSorted()]);
      for (const name of Object.keys(files)) await utimes(path.join(place.incoming, name), new Date(), new Date(Date.now() - 3_601_000));
      assert.equal((await place.run()).rejected.length, 4);
    });

    it("whose clock is far ahead does not wait for ever", async () => {
      await place.put("cut.jpg", (await scene(4).jpeg().toBuffer()).subarray(0, 999), new Date(Date.now() + 86_400_000 * 365));
      assert.equal((await place.run()).rejected.length, 1);
    });

    it("by a writer who has it open while it is taken: nothing of it is lost", async () => {
      // A phone's motion photo: the picture is whole long before the video behind it.
      const motion = Buffer.concat([await scene(5).jpeg().toBuffer(), Buffer.alloc(200_000, 7)]);
      const file = path.join(place.incoming, "motion.jpg");
      const fd = openSync(file, "w");
      writeSync(fd, motion.subarray(0, 100_000));
      // The pause is long enough for the two looks: the run takes what is there, and the writer goes on in the same file.
      const first = await place.run({
        workers: meddling((job) => {
          if (job.kind !== "finish") return;
          writeSync(fd, motion.subarray(100_000));
          closeSync(fd);
        }),
      });
      assert.deepEqual(
        first.waiting.map(({ name }) => name),
        ["motion.jpg"],
      );
      assert.deepEqual(await readFile(file), motion);
      const second = await place.run();
      assert.equal(second.added.length, 1);
      assert.ok((await place.rows()).some(({ bytes }) => bytes === motion.length));
      assert.deepEqual(await place.faults(), []);
    });

    it("a WebP, a JPEG or a PNG that ends in zeros waits for an hour", async () => {
      const webp = await scene(7).webp().toBuffer();
      const jpeg = await scene(7).jpeg().toBuffer();
      const half = Buffer.concat([webp.subarray(0, webp.length / 2), Buffer.alloc(8192)]);
      half.writeUInt32LE(half.length - 8, 4);
      const recent = new Date(Date.now() - 120_000);
      await place.put("half.webp", half, recent);
      await place.put("padded.jpg", Buffer.concat([jpeg, Buffer.alloc(8192)]), recent);
      const first = await place.run();
      assert.deepEqual(
        first.waiting.map(({ name }) => name),
        ["half.webp", "padded.jpg"],
      );
      for (const name of ["half.webp", "padded.jpg"]) await utimes(path.join(place.incoming, name), new Date(), new Date(Date.now() - 3_601_000));
      const second = await place.run();
      assert.match(second.rejected[0]!.why, /zeros/);
      // A picture with padding behind its end is a picture.
      assert.equal(second.added.length, 1);
    });
  });

  describe("what cannot be taken", () => {
    it("goes to rejected/ with the reason, and the rest is taken", async () => {
      const whole = await scene(1).jpeg().toBuffer();
      const flat = sharp({ create: { width: 12_000, height: 12_000, channels: 3, background: "red" } });
      const svg = '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>';
      const files: Record<string, [Buffer | string, RegExp]> = {
        "text.jpg": ["hello, is this a picture?", /none of the known kinds/],
        "empty.png": ["", /empty/],
        "cut.jpg": [whole.subarray(0, whole.length / 2), /cannot be decoded/],
        "bomb.png": [await flat.png().toBuffer(), /pixel/i],
        "vector.png": [svg, /SVG/],
        "vector with a head.png": [`<?xml version="1.0"?>\n${svg}`, /SVG/],
        "moves.gif": [
          await sharp(await picture(1))
            .gif()
            .toBuffer(),
          /GIF/,
        ],
        "moves.webp": [
          await sharp(
            await sharp([await picture(1), await picture(51)], { join: { animated: true } })
              .webp()
              .toBuffer(),
            { animated: true },
          )
            .webp()
            .toBuffer(),
          /animation/,
        ],
        "phone.heic": [Buffer.from("\0\0\0\x18ftypheic\0\0\0\0mif1heic"), /HEIC/],
      };
      for (const [name, [data]] of Object.entries(files)) await place.put(name, data);
      await place.put("good.jpg", whole);
      const report = await place.run();
      assert.equal(report.added.length, 1);
      const why = new Map(report.rejected.map((one) => [one.name, one.why]));
      for (const [name, [data, reason]] of Object.entries(files)) {
        assert.match(why.get(name) ?? "not rejected", reason, name);
        assert.deepEqual(await readFile(path.join(place.incoming, "rejected", name)), Buffer.from(data));
        assert.match(await readFile(path.join(place.incoming, "rejected", `${name}.why.txt`), "utf8"), reason);
      }
      assert.equal(report.rejected.length, Object.keys(files).length);
    });

    it("whatever its name: the longest, another's, its own again", async () => {
      const long = [`${"m".repeat(251)}.jpg`, `${"街".repeat(83)}.jpg`, "x".repeat(255), `${"é".repeat(100)}.${"e".repeat(50)}`];
      for (const name of long) await place.put(name, `no picture, called ${name}`);
      await place.put("good.png", await picture(1));
      assert.deepEqual([(await place.run()).rejected.length, (await place.run()).rejected.length], [4, 0]);
      assert.equal((await place.rows()).length, 1);
      const folder = path.join(place.incoming, "rejected");
      const kept = await readdir(folder);
      assert.equal(kept.length, 8);
      for (const name of kept) assert.ok(Buffer.byteLength(name) <= 255 && !name.includes("\ufffd"), name);

      await place.put("a.jpg", "one text that is no picture");
      await place.run();
      await place.put("a.jpg", "another text that is no picture");
      await place.run();
      await place.put("a.jpg", "another text that is no picture");
      await place.run();
      const ofA = (await readdir(folder)).filter((name) => /^(\d-)?a\.jpg/.test(name));
      assert.deepEqual(ofA.toSorted(), ["2-a.jpg", "2-a.jpg.why.txt", "a.jpg", "a.jpg.why.txt"]);
    });

    it("ends the process that decodes, and not the run", async () => {
      await place.put("deadly.png", await picture(1));
      await place.put("good.png", await picture(2));
      const report = await place.run({ workers: deadly("deadly.png") });
      assert.deepEqual([report.added.length, report.rejected.map(({ name }) => name)], [1, ["deadly.png"]]);
      assert.match(report.rejected[0]!.why, /SIGSEGV/);
      // Killed from outside, for want of memory say: the picture is not to blame, and stays.
      await place.put("killed.png", await picture(3));
      const second = await place.run({ workers: deadly("killed.png", "SIGKILL") });
      assert.deepEqual(
        [second.rejected, second.failed.map(({ name }) => name), await readdir(place.incoming)],
        [[], ["killed.png"], ["killed.png", "rejected"]],
      );
    });
  });

  it("goes on after a file that it may not read or move, and says so at the end", async function () {
    if (process.getuid?.() !== 0) return this.skip();
    // Root may read everything: the run has the rights of nobody.
    for (let n = 0; n < 5; n++) await place.put(`${n}.png`, await picture(n));
    await chmod(path.join(place.incoming, "2.png"), 0o000);
    for (const folder of [place.incoming, place.storage.root]) await execa("chown", ["-R", "65534:65534", path.dirname(folder)]);
    await execa("chown", ["root:root", path.join(place.incoming, "2.png")]);
    // A folder that can be listed and not entered, and one that cannot be listed.
    for (const [name, mode] of [
      ["listed", 0o744],
      ["shut", 0o700],
    ] as const) {
      await place.put(`cam/${name}/a.png`, await picture(9));
      await chmod(path.join(place.incoming, "cam", name), mode);
    }
    await execa("chown", ["65534:65534", path.join(place.incoming, "cam")]);
    const notes: string[] = [];
    const report = await withRightsOfNobody(() => place.run({ workers: meddling(() => undefined), note: (line) => notes.push(line) }));
    assert.deepEqual(report.failed.map(({ name }) => name).toSorted(), ["2.png", "cam/listed/a.png"]);
    assert.ok(
      notes.some((line) => /shut\/ cannot be read/.test(line)),
      notes.join("\n"),
    );
    assert.equal(report.added.length, 4);
    assert.deepEqual(await place.files(), ["2.png", "cam/listed/a.png", "cam/shut/a.png"]);
    // A source's folder that is another's altogether.
    await execa("chown", ["root:root", path.join(place.incoming, "cam")]);
    await place.put("6.png", await picture(6));
    await execa("chown", ["65534:65534", path.join(place.incoming, "6.png")]);
    const second = await withRightsOfNobody(() => place.run({ workers: meddling(() => undefined) }));
    assert.deepEqual([second.added.length, second.failed.map(({ name }) => name).includes(path.join(place.incoming, "cam"))], [1, true]);
  });

  describe("a known picture", () => {
    it("costs no decode, and its bytes are put back where the store has lost them", async () => {
      await place.put("a.png", await picture(1));
      const [sha256] = (await place.run()).added;
      const stored = path.join(place.storage.images, imagePath(sha256!, "png"));
      for (const damage of [() => rm(stored), async () => (await chmod(stored, 0o644), writeFile(stored, "cut"))]) {
        await damage();
        await place.put("again.png", await picture(1));
        const report = await place.run({ workers: deadly("again.png") });
        assert.deepEqual([report.added, report.known], [[], ["again.png"]]);
        assert.deepEqual(await place.faults(), []);
      }
    });
  });

  it("takes predictions from beside a picture into the registry, the last ones for a known picture too", async () => {
    const data = await picture(9);
    const sha256 = (await execa("sha256sum", { input: data })).stdout.slice(0, 64);
    const hidden = `.${sha256}.predictions.json`;
    for (const version of ["1", "2"]) {
      const predictions = { sha256, model: { name: "m", version }, detections: [{ name: "car", confidence: 0.4, box: [0, 0, 0.5, 0.5] }] };
      await place.put(hidden, JSON.stringify(predictions));
      await place.put("seen.png", data);
      await place.run();
      assert.deepEqual(await tryReadPredictions(place.registry.db, sha256), predictions);
      assert.deepEqual(await readdir(place.incoming), []);
    }
    for (const bad of ["{", JSON.stringify({ sha256 })]) {
      await place.put(hidden, bad);
      await place.put("seen.png", data);
      assert.equal((await place.run()).known.length, 1);
      assert.deepEqual(await readdir(place.incoming), []);
    }
    assert.equal((await tryReadPredictions(place.registry.db, sha256))?.model.version, "2");
  });

  it("stops between chunks when it is aborted, and goes on where it was", async () => {
    for (let n = 0; n < 200; n++) await place.put(`${n}.png`, await picture(n));
    const controller = new AbortController();
    const seen: [number, number][] = [];
    const progress = (done: number, total: number) => {
      seen.push([done, total]);
      controller.abort(new Error("stopped"));
    };
    await assert.rejects(place.run({ signal: controller.signal, progress }), /stopped/);
    const taken = (await place.rows()).length;
    assert.ok(taken > 0 && taken < 200, `${taken} taken`);
    assert.deepEqual(seen.at(0)?.[1], 200);
    // Each picture is wholly in or wholly out.
    assert.equal((await place.files()).length, 200 - taken);
    assert.deepEqual(await place.faults(), []);
    await place.run();
    assert.equal((await place.rows()).length, 200);
  });

  it("does nothing where all files are still written, with processes of its own", async () => {
    const file = await place.put("slow.jpg", "a", now());
    const growing = setInterval(() => appendFileSync(file, "a"), 1);
    const { incoming, storage, registry } = place;
    const report = await ingest({ incoming, storage, registry, sourceId: "cam", run: { person: "a" }, settleMs: 100 });
    clearInterval(growing);
    assert.deepEqual([report.waiting.length, await place.files()], [1, ["slow.jpg"]]);
  });

  it("says which folder cannot be read", async () => {
    await assert.rejects(place.run({ incoming: path.join(place.root, "nowhere") }), /cannot read the folder of incoming pictures .*nowhere/);
  });
});

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { execFileSync } from "node:child_process";
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { buffer } from "node:stream/consumers";
import { gzipSync } from "node:zlib";
import { BadArchive } from "@airloom/dataset-platform/archives/entries.ts";
import { type ArchiveLimits, archiveLimits, unpackArchive } from "@airloom/dataset-platform/archives/unpack.ts";
import { type Job, startPictureWorkers } from "@airloom/dataset-platform/store/picture-workers.ts";
import { type Header, pack } from "tar-stream";
import { ZipFile } from "yazl";
import { closeSharedWorkers, type IngestPlace, openIngestPlace, picture } from "./ingest-place.ts";

/** A tar as a stranger may write it. */
async function tarOf(entries: readonly [Partial<Header> & { name: string }, (string | Buffer)?][]): Promise<Buffer> {
  const tar = pack();
  for (const [header, data] of entries) tar.entry(header, data ?? "");
  tar.finalize();
  return buffer(tar as unknown as AsyncIterable<Buffer>);
}

async function zipOf(entries: readonly [string, Buffer, number?][]): Promise<Buffer> {
  const zip = new ZipFile();
  for (const [name, data, mode] of entries) zip.addBuffer(data, name, { mtime: new Date(0), ...(mode !== undefined && { mode }) });
  zip.end();
  return buffer(zip.outputStream);
}

/** yazl refuses such names itself: the bytes of a harmless one of the same length are replaced. */
const renamed = (zip: Buffer, from: string, to: string) => Buffer.from(zip.toString("latin1").replaceAll(from, to), "latin1");

describe("archives", () => {
  let folder: string;
  beforeEach(async () => void (folder = await mkdtemp(path.join(tmpdir(), "archives-"))));
  afterEach(() => rm(folder, { recursive: true, force: true }));

  const unpack = async (name: string, data: Buffer, limits: Partial<ArchiveLimits> = {}) => {
    await writeFile(path.join(folder, name), data);
    return unpackArchive(path.join(folder, name), path.join(folder, "into"), undefined, { ...archiveLimits, ...limits });
  };
  const refuses = async (name: string, data: Buffer, why: RegExp, limits: Partial<ArchiveLimits> = {}) => {
    await assert.rejects(unpack(name, data, limits), (error: unknown) => error instanceof BadArchive && why.test(error.message));
    // Nothing was written but numbered files in the one folder.
    assert.deepEqual(
      (await readdir(folder)).filter((one) => one !== name),
      ["into"],
    );
    assert.ok((await readdir(path.join(folder, "into"))).every((file) => /^\d+$/.test(file)));
    for (const one of ["into", name]) await rm(path.join(folder, one), { recursive: true });
  };

  it("unpack as the usual programs made them; what is hidden is passed over", async () => {
    const from = path.join(folder, "from");
    await mkdir(path.join(from, "inner", "__MACOSX"), { recursive: true });
    for (const name of ["a.png", "inner/b ü.png", "inner/.DS_Store", "inner/__MACOSX/c.png"]) await writeFile(path.join(from, name), `bytes of ${name}`);
    execFileSync("tar", ["-cf", "../a.tar", "."], { cwd: from });
    execFileSync("tar", ["--format=pax", "-czf", "../b.tar.gz", "a.png", "inner"], { cwd: from });
    execFileSync("tar", ["--format=gnu", "-czf", "../c.tgz", "a.png", "inner"], { cwd: from });
    execFileSync("zip", ["-qr", "../d.zip", "."], { cwd: from });
    for (const name of ["a.tar", "b.tar.gz", "c.tgz", "d.zip"]) {
      const files = await unpackArchive(path.join(folder, name), path.join(folder, `into ${name}`));
      const got = new Map(await Promise.all(files.map(async (one) => [one.name.replace(/^\.\//, ""), await readFile(one.file, "utf8")] as const)));
      assert.deepEqual(
        [...got].toSorted(([a], [b]) => (a < b ? -1 : 1)),
        [
          ["a.png", "bytes of a.png"],
          ["inner/b ü.png", "bytes of inner/b ü.png"],
        ],
        name,
      );
    }
  });

  it("whose paths lead out are refused", async () => {
    for (const name of ["../../x.png", "/etc/x.png", "a/../../b", "a\\..\\..\\b", "C:/x.png", "a\0b.png"]) {
      // A tar's name ends at a zero byte.
      if (!name.includes("\0"))
        await refuses(
          "t.tar",
          await tarOf([
            [{ name: "good.png" }, "x"],
            [{ name }, "x"],
          ]),
          /path/,
        );
      await refuses("z.zip", renamed(await zipOf([["g".repeat(name.length), Buffer.from("x")]]), "g".repeat(name.length), name), /path|cannot be unpacked/);
    }
  });

  it("that hold links or devices are refused", async () => {
    for (const type of ["symlink", "link", "character-device", "block-device", "fifo"] as const)
      await refuses("t.tar", await tarOf([[{ name: "x", type, linkname: "/etc/passwd" }]]), /link or a device/);
    await refuses("z.zip", await zipOf([["x", Buffer.from("/etc/passwd"), 0o120777]]), /link or a device/);
  });

  it("that unfold without bound are refused, whatever they say of themselves", async () => {
    const zeros = Buffer.alloc(2_000_000);
    await refuses("t.tar.gz", gzipSync(await tarOf([[{ name: "a" }, zeros]])), /more than 1000 bytes/, { fileBytes: 1000 });
    await refuses("z.zip", await zipOf([["a", zeros]]), /more than 1000 bytes/, { fileBytes: 1000 });
    const many = Array.from({ length: 20 }, (_, i) => String(i));
    await refuses("t.tgz", gzipSync(await tarOf(many.map((name) => [{ name }, zeros]))), /unfolds/, { totalBytes: 10_000_000 });
    await refuses("z.zip", await zipOf(many.map((name) => [name, zeros])), /unfolds/, { totalBytes: 10_000_000 });
    await refuses("t.tar", await tarOf(many.map((name) => [{ name }, "x"])), /more than 10 entries/, { entries: 10 });
    await refuses("z.zip", await zipOf(many.map((name) => [name, Buffer.from("x")])), /more than 10 entries/, { entries: 10 });
    // 100 MB of zeros in 100 KB: beyond the ratio, far below every other bound.
    await refuses("r.tar.gz", gzipSync(Buffer.concat([await tarOf([[{ name: "a" }, Buffer.alloc(60_000_000)]]), Buffer.alloc(60_000_000)])), /unfolds/);
    // A zip that says of its entry that it is small.
    const lying = await zipOf([["a", zeros]]);
    for (let at = 0; (at = lying.indexOf(Buffer.from(Uint32Array.of(zeros.length).buffer), at)) >= 0; at += 4) lying.writeUInt32LE(100, at);
    await refuses("z.zip", lying, /cannot be unpacked|more than/, { fileBytes: 1000 });
  });

  it("that describe an entry with megabytes are refused before they are kept in memory", async () => {
    const tar = await tarOf([[{ name: "a", pax: { comment: randomBytes(4_000_000).toString("hex") } }, "x"]]);
    await refuses("t.tar", tar, /exceeds/);
  });

  it("that were cut are refused at every length, and may wait", async () => {
    const files: [string, Buffer][] = [
      ["a.png", randomBytes(700)],
      ["b.png", randomBytes(700)],
    ];
    const tar = await tarOf(files.map(([name, data]) => [{ name }, data]));
    for (const [name, whole] of [
      ["t.tar", tar],
      ["t.tgz", gzipSync(tar)],
      ["z.zip", await zipOf(files)],
    ] as const) {
      for (let length = 0; length < whole.length; length += 13) {
        const taken = await unpack(name, whole.subarray(0, length)).then(
          (unpacked) => unpacked.length,
          (error: unknown) => {
            assert.ok(error instanceof BadArchive && error.mayBeCut, String(error));
            return undefined;
          },
        );
        // Within a tar's padding behind its end mark, all is there.
        if (taken !== undefined) assert.equal(taken, 2, `${name} cut at ${length} of ${whole.length}`);
        await rm(path.join(folder, "into"), { recursive: true });
      }
    }
  });

  describe("in incoming/", () => {
    let place: IngestPlace;
    beforeEach(async () => void (place = await openIngestPlace()));
    afterEach(() => place.close());
    after(closeSharedWorkers);

    it("are taken with all their pictures; what is none goes to rejected/", async () => {
      const entries: [string, Buffer][] = [
        ["x/1.png", await picture(1)],
        ["x/2.png", await picture(2)],
        ["x/notes.txt", Buffer.from("some notes, no picture")],
        ["deep.zip", await zipOf([["1.png", await picture(3)]])],
      ];
      await place.put("set.zip", await zipOf(entries));
      await place.put(
        "cam/more.tgz",
        gzipSync(
          await tarOf([
            [{ name: "3.png" }, await picture(4)],
            [{ name: "again.png" }, await picture(1)],
          ]),
        ),
      );
      const report = await place.run();
      assert.deepEqual([report.added.length, report.known], [3, ["cam/more.tgz/again.png"]]);
      assert.deepEqual(report.rejected.map(({ name }) => name).toSorted(), ["set.zip/deep.zip", "set.zip/x/notes.txt"]);
      assert.deepEqual((await place.rows()).map((row) => row.original_name).toSorted(), ["cam/more.tgz/3.png", "set.zip/x/1.png", "set.zip/x/2.png"]);
      assert.deepEqual(await place.files(), ["rejected/deep.zip", "rejected/deep.zip.why.txt", "rejected/notes.txt", "rejected/notes.txt.why.txt"]);
      assert.deepEqual(await place.faults(), []);
    });

    it("that are hostile or broken are rejected whole, before a picture is taken", async () => {
      await place.put(
        "evil.tar",
        await tarOf([
          [{ name: "1.png" }, await picture(1)],
          [{ name: "../2.png" }, await picture(2)],
        ]),
      );
      await place.put("broken.zip", (await zipOf([["1.png", await picture(1)]])).subarray(0, 60));
      await symlink("/etc", path.join(place.incoming, "link.zip"));
      const report = await place.run();
      assert.deepEqual([report.added, report.rejected.length], [[], 2]);
      assert.deepEqual(await place.files(), [
        "link.zip",
        "rejected/broken.zip",
        "rejected/broken.zip.why.txt",
        "rejected/evil.tar",
        "rejected/evil.tar.why.txt",
      ]);
    });

    it("stay until all of their pictures are in, and reject nothing twice", async () => {
      await place.put(
        "set.zip",
        await zipOf([
          ["1.png", await picture(1)],
          ["no.txt", Buffer.from("some notes, no picture")],
          ["2.png", await picture(2)],
        ]),
      );
      const workers = startPictureWorkers(1);
      const run = async (job: Job) => {
        if (job.kind === "finish") throw new Error("the registry went away");
        return workers.run(job);
      };
      await assert.rejects(place.run({ workers: { ...workers, run: run as typeof workers.run } }), /went away/);
      workers.close();
      await place.run();
      assert.deepEqual([(await place.rows()).length, await place.files()], [2, ["rejected/no.txt", "rejected/no.txt.why.txt"]]);
      assert.deepEqual(await place.faults(), []);
    });
  });
});

// Several runs at once, writers beside them, and runs that are killed.
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { readdir, rename, writeFile } from "node:fs/promises";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { execa } from "execa";
import { closeSharedWorkers, type IngestPlace, openIngestPlace, picture } from "./ingest-place.ts";

const program = fileURLToPath(new URL("ingest-process.ts", import.meta.url));
const sha256Of = (data: Buffer) => createHash("sha256").update(data).digest("hex");

/** A run in processes of its own, all of which one signal reaches. */
function start(place: IngestPlace, sourceId: string, until = "", before: readonly string[] = []): { child: ChildProcess; ended: Promise<string> } {
  const args = ["--import", "tsx", program, place.incoming, place.storage.root, place.url, sourceId, until];
  const [command = "", ...rest] = [...before, process.execPath, ...args];
  const child = spawn(command, rest, { detached: true, stdio: ["ignore", "inherit", "pipe"] });
  let said = "";
  child.stderr!.on("data", (text) => (said += text));
  const ended = new Promise<string>((resolve) => child.on("exit", (code, signal) => resolve(signal ?? (code === 0 ? "" : said))));
  return { child, ended };
}

async function waitFor(what: () => boolean, or: () => boolean): Promise<void> {
  while (!what() && !or()) await sleep(2);
}

describe("runs of ingest at once", function () {
  this.timeout(240_000);
  let place: IngestPlace;
  beforeEach(async () => {
    place = await openIngestPlace();
  });
  afterEach(() => place.close());
  after(closeSharedWorkers);

  it("in one process: two sources, with files that are none among the pictures", async () => {
    const second = await place.again();
    for (let round = 0; round < 5; round++) {
      for (let n = 0; n < 12; n++) await place.put(`b${n}.png`, await picture(round * 100 + n));
      for (let n = 0; n < 30; n++) await place.put(`a${n}.jpg`, `no picture of round ${round}, ${n}`);
      const reports = await Promise.all([place.run(), place.run({ registry: second, sourceId: "other" })]);
      assert.deepEqual(
        reports.flatMap((report) => report.failed),
        [],
      );
      assert.equal(
        reports.reduce((sum, report) => sum + report.added.length, 0),
        12,
      );
      assert.equal((await place.rows()).length, 12 * (round + 1));
    }
    const rejected = (await place.files()).filter((name) => !name.endsWith(".why.txt"));
    assert.equal(rejected.length, 30 * 5);
    assert.deepEqual(await place.faults(), []);
  });

  it("four processes, beside a camera that renames one picture after the other over one name: none is removed unread", async () => {
    const stop = path.join(place.root, "stop");
    const runs = ["cam", "cam", "cam", "yard"].map((sourceId) => start(place, sourceId, stop));
    const sha256s: string[] = [];
    const overwritten = new Set<string>();
    const latest = path.join(place.incoming, "latest.png");
    for (let n = 0; n < 300; n++) {
      const data = await picture(n);
      const next = path.join(place.root, "next");
      await writeFile(next, data);
      // What the camera itself replaces is its own affair; it may do so a moment after this look.
      if (existsSync(latest)) overwritten.add(sha256s.at(-1)!);
      await rename(next, latest);
      sha256s.push(sha256Of(data));
      if (n % 10 === 0) await place.put(`again-${n}.png`, data);
      await sleep(5 + Math.random() * 30);
    }
    await writeFile(stop, "");
    assert.deepEqual(await Promise.all(runs.map(({ ended }) => ended)), ["", "", "", ""]);
    await place.run();
    const known = new Set((await place.rows()).map((row) => row.sha256));
    assert.deepEqual(
      sha256s.filter((sha256) => !known.has(sha256) && !overwritten.has(sha256)),
      [],
    );
    assert.ok(known.size > 30, `${known.size} were taken`);
    assert.deepEqual(await place.files(), []);
    assert.deepEqual(await place.faults(), []);
  });

  it("killed at any moment and run again: nothing is lost, and nothing there twice", async () => {
    let put = 0;
    let killed = 0;
    for (let round = 0; round < 6; round++) {
      for (let n = 0; n < 20; n++) await place.put(`${put}.png`, await picture(put++));
      await place.put(`bad ${round}.jpg`, `no picture of round ${round}`);
      const { child, ended } = start(place, "cam");
      let isOver = false;
      void ended.then(() => (isOver = true));
      await waitFor(
        () => existsSync(path.join(place.incoming, ".taking", "cam")),
        () => isOver,
      );
      await sleep(Math.random() * 150);
      if (!isOver) process.kill(-child.pid!, "SIGKILL");
      if ((await ended) === "SIGKILL") killed++;
      await assertNothingIsLost(place, put, round + 1);
    }
    assert.ok(killed > 0, "no run lived long enough to be killed");
    await place.run();
    assert.deepEqual(await place.faults(), []);
    assert.equal((await place.rows()).length, put);
    assert.deepEqual(
      (await readdir(path.join(place.incoming, "rejected"))).toSorted(),
      Array.from({ length: 6 }, (_, i) => [`bad ${i}.jpg`, `bad ${i}.jpg.why.txt`])
        .flat()
        .toSorted(),
    );
    assert.deepEqual(await readdir(place.incoming), ["rejected"]);
  });

  it("killed at a system call that changes a file, and run again", async function () {
    // Where there is no strace, or no right to trace, the test before this one has to do.
    const strace = await execa("strace", ["-qq", "-o", "/dev/null", "true"], { reject: false });
    if (strace.failed) return this.skip();
    const calls = ["rename", "unlink", "link,linkat", "fdatasync"];
    for (const [round, call] of calls.entries()) {
      for (let n = 0; n < 4; n++) await place.put(`${round * 4 + n}.png`, await picture(round * 4 + n));
      await place.put(`bad ${round}.jpg`, `no picture of round ${round}`);
      const inject = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", `trace=${call}`, "-e", `inject=${call}:signal=KILL:when=2+`];
      const { child, ended } = start(place, "cam", "", inject);
      await ended;
      try {
        process.kill(-child.pid!, "SIGKILL");
      } catch {
        // All of them have ended.
      }
      await assertNothingIsLost(place, (round + 1) * 4, round + 1);
    }
    await place.run();
    assert.deepEqual(await place.faults(), []);
    assert.equal((await place.rows()).length, calls.length * 4);
    // What a killed run had begun to write stands under hidden names.
    const rejected = (await readdir(path.join(place.incoming, "rejected"))).filter((name) => !name.startsWith("."));
    assert.deepEqual(rejected.toSorted(), calls.flatMap((_, round) => [`bad ${round}.jpg`, `bad ${round}.jpg.why.txt`]).toSorted());
    assert.deepEqual(await readdir(place.incoming), ["rejected"]);
  });

  /** Each file that was put is somewhere: in the store with its row, taken, waiting or rejected. */
  async function assertNothingIsLost(at: IngestPlace, pictures: number, bad: number): Promise<void> {
    const rows = new Set((await at.rows()).map(({ original_name }) => original_name));
    const names = new Set([...rows, ...(await at.files()).map((name) => path.basename(name))]);
    for (let n = 0; n < pictures; n++) assert.ok(names.has(`${n}.png`), `${n}.png is lost`);
    for (let n = 0; n < bad; n++) assert.ok(names.has(`bad ${n}.jpg`), `bad ${n}.jpg is lost`);
    assert.deepEqual(
      (await at.faults()).filter((fault) => !fault.endsWith("has no row")),
      [],
    );
  }
});

// How fast pictures are ingested, against sharp's own decoding on all cores, and how fast known ones are passed over.
//   N=2000 [AIRLOOM_TEST_DATABASE_URL=postgresql://…] node --import tsx bench/data-ingest.ts
// Marks: new pictures ≥ 0.8 × the decoding rate; known ones ≥ 20 × new ones. The start of the processes, a second once, is left
// out. On a busy machine rates tell little, and CPU time per picture, of this process and its children on Linux, tells more.
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, rm, stat, utimes, writeFile } from "node:fs/promises";
import { availableParallelism, loadavg, tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { Registry } from "@airloom/dataset-platform/registry/registry.ts";
import { ingest } from "@airloom/dataset-platform/store/ingest.ts";
import { storageLayout } from "@airloom/dataset-platform/store/layout.ts";
import { startPictureWorkers } from "@airloom/dataset-platform/store/picture-workers.ts";
import { execa } from "execa";
import sharp from "sharp";
import { newDatabase } from "../test/database.ts";

const count = Number(process.env["N"] || 2000);
const self = fileURLToPath(import.meta.url);
const cores = availableParallelism();

/** Smooth shapes with a little noise, as a camera's picture has them: some 200 KB as JPEG. */
async function drawPicture(seed: number): Promise<Buffer> {
  const [width, height] = [1280, 960];
  const data = Buffer.alloc(width * height * 3);
  let state = (seed * 2654435761) >>> 0;
  for (let y = 0, i = 0; y < height; y++)
    for (let x = 0; x < width; x++) {
      state = (state * 1664525 + 1013904223) >>> 0;
      const wave = 100 + 60 * Math.sin((x + seed * 31) / 40) + 40 * Math.cos((y * (1 + (seed % 5))) / 60);
      for (let c = 0; c < 3; c++) data[i++] = wave + c * 15 + ((state >>> (24 + c)) & 15);
    }
  return sharp(data, { raw: { width, height, channels: 3 } })
    .jpeg({ quality: 88 })
    .toBuffer();
}

/** Files of their own bytes, from a few pictures: a comment in each makes its hash its own. */
async function drawInto(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  const bases = await Promise.all(Array.from({ length: Math.min(16, count) }, (_, seed) => drawPicture(seed)));
  const longAgo = new Date(Date.now() - 3_600_000);
  for (let n = 0; n < count; n++) {
    const base = bases[n % bases.length]!;
    const text = Buffer.from(`picture ${n}`);
    const comment = Buffer.concat([Buffer.from([0xff, 0xfe, 0, text.length + 2]), text]);
    const file = path.join(folder, `${n}.jpg`);
    await writeFile(file, Buffer.concat([base.subarray(0, 2), comment, base.subarray(2)]));
    await utimes(file, longAgo, longAgo);
  }
}

/** sharp alone, in a process with as many threads as there are cores: read, and decode to the last pixel. */
async function decodeAll(folder: string): Promise<{ seconds: number; cpuMs: number }> {
  sharp.cache(false);
  sharp.concurrency(1);
  const files = (await readdir(folder)).map((name) => path.join(folder, name));
  const usedBefore = process.cpuUsage();
  const started = performance.now();
  const decodeRest = async () => {
    for (let file; (file = files.pop()) !== undefined;)
      await sharp(await readFile(file), { failOn: "truncated" })
        .raw()
        .toBuffer();
  };
  await Promise.all(Array.from({ length: cores + 1 }, decodeRest));
  const { user, system } = process.cpuUsage(usedBefore);
  return { seconds: (performance.now() - started) / 1000, cpuMs: (user + system) / 1000 };
}

/** CPU milliseconds of this process and its children so far; Linux counts in hundredths of a second. */
function cpuOfAll(): number {
  const { user, system } = process.cpuUsage();
  const ids = execFileSync("pgrep", ["-P", String(process.pid)], { encoding: "utf8" })
    .trim()
    .split("\n");
  const ticks = ids.map((id) => {
    try {
      const fields = readFileSync(`/proc/${id}/stat`, "utf8").split(" ");
      return Number(fields[13]) + Number(fields[14]);
    } catch {
      return 0;
    }
  });
  return (user + system) / 1000 + ticks.reduce((sum, one) => sum + one, 0) * 10;
}

if (process.argv[2] === "decode") {
  process.stdout.write(JSON.stringify(await decodeAll(process.argv[3]!)));
} else {
  const root = await mkdtemp(path.join(tmpdir(), "bench-ingest-"));
  const incoming = path.join(root, "incoming");
  const storage = storageLayout(path.join(root, "storage"));
  const database = await newDatabase();
  const registry = await Registry.open({ url: database.url, storage, pgDump: "pg_dump", python: "python3", say: () => undefined });
  const workers = startPictureWorkers(cores);
  try {
    // A file that is not there: each process has loaded its decoder by the time that it has seen so.
    const look = { isFile: true, bytes: 1, mtimeMs: 0, ctimeMs: 0, inode: 0 };
    const nothing = { taken: path.join(root, "nothing"), look, sha256: "", targets: {}, mayGrow: false };
    await Promise.all(Array.from({ length: cores }, () => workers.run({ kind: "store", file: nothing })));
    await drawInto(incoming);
    const { size } = await stat(path.join(incoming, "0.jpg"));
    const decode = async () => {
      const env = { UV_THREADPOOL_SIZE: String(cores) };
      return JSON.parse((await execa(process.execPath, ["--import", "tsx", self, "decode", incoming], { env })).stdout) as { seconds: number; cpuMs: number };
    };
    const run = async () => {
      const usedBefore = cpuOfAll();
      const started = performance.now();
      const report = await ingest({ incoming, storage, registry, sourceId: "bench", run: { person: "bench" }, settleMs: 0, workers });
      return { seconds: (performance.now() - started) / 1000, cpuMs: cpuOfAll() - usedBefore, report };
    };
    // The machine may be busier at one time than at another: decode before and after.
    const before = await decode();
    const fresh = await run();
    await drawInto(incoming);
    const after = await decode();
    const again = await run();
    if (fresh.report.added.length !== count || again.report.known.length !== count) throw new Error("not every picture was taken");
    const decoding = { seconds: (before.seconds + after.seconds) / 2, cpuMs: (before.cpuMs + after.cpuMs) / 2 };
    const row = ({ seconds, cpuMs }: { seconds: number; cpuMs: number }, ratios: string, mark: string) => ({
      "pictures/s": (count / seconds).toFixed(0),
      "CPU ms each": (cpuMs / count).toFixed(2),
      "rate, CPU": ratios,
      mark,
    });
    const byDecoding = `${(decoding.seconds / fresh.seconds).toFixed(2)}, ${(decoding.cpuMs / fresh.cpuMs).toFixed(2)} × decoding`;
    const byNew = `${(fresh.seconds / again.seconds).toFixed(1)}, ${(fresh.cpuMs / again.cpuMs).toFixed(1)} × new`;
    console.log(`${count} JPEGs of 1280 × 960, ${Math.round(size / 1000)} KB each; ${cores} cores, load ${loadavg()[0]!.toFixed(1)}`);
    console.table({
      "sharp alone, before": row(before, "", ""),
      "sharp alone, after": row(after, "", ""),
      "ingest, new": row(fresh, byDecoding, "≥ 0.8"),
      "ingest, known": row(again, byNew, "≥ 20"),
    });
  } finally {
    workers.close();
    await registry.close();
    await database.drop();
    await rm(root, { recursive: true, force: true });
  }
}

// What a dataset version costs: a commit of ten new pictures as the dataset grows, beside `dvc add`; an export, beside `dvc checkout`.
// node --import tsx bench/data-versions.ts [1000,10000,100000] [--files=10000]
import { createHash } from "node:crypto";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { execa } from "execa";
import { sql } from "kysely";
import { labelOf, storeAnnotation } from "@airloom/dataset-platform/registry/annotations.ts";
import { ensureClasses } from "@airloom/dataset-platform/registry/classes.ts";
import { addImage } from "@airloom/dataset-platform/registry/images.ts";
import { Registry } from "@airloom/dataset-platform/registry/registry.ts";
import { labelledIn } from "@airloom/dataset-platform/registry/versions.ts";
import { imagePath, type StorageLayout, storageLayout } from "@airloom/dataset-platform/store/layout.ts";
import { DataRepository } from "@airloom/dataset-platform/versions/data-repository.ts";
import { dirObject, ObjectWriter } from "@airloom/dataset-platform/versions/dvc-objects.ts";
import { exportVersion } from "@airloom/dataset-platform/versions/export-version.ts";
import { type Folder, formatPointers, prefixes } from "@airloom/dataset-platform/versions/pointers.ts";
import { newDatabase } from "../test/database.ts";

const dvc = process.env["DVC"] ?? fileURLToPath(new URL("../.venv/bin/dvc", import.meta.url));
const run = { dagId: "bench", runId: "bench", taskId: "bench", mapIndex: -1 };
const rounds = 5;
const oneBox = { classId: 0, xywh: [0.5, 0.5, 0.25, 0.5] as const, how: "drawn" as const };
const label = labelOf([oneBox]);
const nobody = { annotator: null, cvatJobId: null, batchId: null, cvatUrl: null, cvatTaskId: null, origin: "imported" as const };

interface Bench {
  readonly registry: Registry;
  readonly storage: StorageLayout;
  readonly repository: DataRepository;
  readonly root: string;
  close(): Promise<void>;
}

async function open(): Promise<Bench> {
  const database = await newDatabase();
  const root = await mkdtemp(path.join(tmpdir(), "bench-versions-"));
  const storage = storageLayout(path.join(root, "storage"));
  const registry = await Registry.open({ url: database.url, storage, pgDump: "pg_dump", python: "python3", say: () => undefined });
  await registry.transaction((trx) => ensureClasses(trx, ["car"], run));
  const close = async () => {
    await registry.close();
    await database.drop();
    await rm(root, { recursive: true, force: true });
  };
  return { registry, storage, repository: new DataRepository({ storage, dvc, remoteUrl: path.join(storage.root, ".remote") }), root, close };
}

/** `count` pictures in rows alone: a commit of others must not look at their files. */
async function fillRows({ registry }: Bench, count: number): Promise<void> {
  const { db } = registry;
  await sql`insert into sources (id) values ('x') on conflict do nothing`.execute(db);
  await sql`insert into images (sha256, md5, extension, bytes, width, height, orientation, source_id, original_name, group_id, state)
    select sha, left(sha, 32), 'jpg', 40, 1, 1, 1, 'x', 'a', sha, 'new'
    from (select encode(sha256(n::text::bytea), 'hex') as sha from generate_series(1, ${count}::integer) n) made`.execute(db);
  await sql`insert into annotations (sha256, revision, asked, origin, label_md5, label_bytes)
    select sha256, 1, '{0}', 'imported', ${label.md5}::text, ${label.bytes}::integer from images`.execute(db);
  await sql`update images set annotation_id = annotations.id, committed_annotation_id = annotations.id, state = 'labelled'
    from annotations where annotations.sha256 = images.sha256`.execute(db);
  await sql`vacuum analyze images`.execute(db);
  await sql`vacuum analyze annotations`.execute(db);
}

/** The version that these rows are, as an earlier commit would have left it. */
async function commitRows({ registry, storage, repository }: Bench, count: number): Promise<void> {
  await repository.ensure();
  const writer = new ObjectWriter(repository.cache);
  const folders: Folder[] = [];
  for (const prefix of prefixes) {
    const labelled = await labelledIn(registry.db, prefix);
    if (labelled.length === 0) continue;
    const entries = labelled.flatMap(({ sha256, md5, labelMd5 }) => [
      { md5, relpath: imagePath(sha256, "jpg").slice(3) },
      { md5: labelMd5, relpath: imagePath(sha256, "txt").slice(3) },
    ]);
    const { oid, text } = dirObject(entries);
    await writer.addText(oid, text);
    folders.push({ path: `images/${prefix}`, oid, bytes: labelled.length * (40 + label.bytes), files: entries.length });
  }
  await writer.sync();
  await writeFile(path.join(storage.root, "images.dvc"), formatPointers(folders)!);
  await writeFile(storage.classes, "car\n");
  const git = async (...args: string[]) => (await execa("git", ["-c", "user.name=x", "-c", "user.email=x@x", ...args], { cwd: storage.root })).stdout;
  await git("add", ".");
  await git("commit", "--quiet", "-m", "all before");
  const row = { commit: await git("rev-parse", "HEAD"), parent: null, state: "written" as const, message: "all before", images: count };
  await registry.db
    .insertInto("versions")
    .values({ ...row, pushed_at: new Date(), pushed_to: "storage:.remote" })
    .execute();
}

/** Adds labelled pictures with files; tiny ones, since a commit reads each new picture once whatever its size. */
async function addPictures({ registry, storage }: Bench, name: string, count: number): Promise<void> {
  for (let i = 0; i < count; i++) {
    const bytes = Buffer.from(`${name}-${i}`.padEnd(40));
    const digest = (algorithm: string) => createHash(algorithm).update(bytes).digest("hex");
    const sha256 = digest("sha256");
    const file = path.join(storage.images, imagePath(sha256, "jpg"));
    await mkdir(path.dirname(file), { recursive: true });
    await writeFile(file, bytes);
    const facts = { extension: "jpg", bytes: 40, width: 1, height: 1, orientation: 1, captured_at: null, source_id: "x", original_name: "a" };
    await registry.transaction(async (trx) => {
      await addImage(trx, { ...facts, sha256, md5: digest("md5") }, run);
      await storeAnnotation(trx, { ...nobody, sha256, asked: [0], boxes: [{ ...oneBox, xywh: [0.5, 0.5, 0.25, 0.1 + (i % 900) / 1000] }] });
      await trx.updateTable("images").set({ state: "labelled" }).where("sha256", "=", sha256).execute();
    });
  }
}

async function seconds(work: () => Promise<unknown>): Promise<number> {
  const since = performance.now();
  await work();
  return (performance.now() - since) / 1000;
}

const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!;
const mib = () => Math.round(process.memoryUsage.rss() / 2 ** 20);

async function commitOfTen(sizes: readonly number[]): Promise<void> {
  const benches = new Map<number, Bench>();
  for (const size of sizes) {
    const bench = await open();
    await fillRows(bench, size);
    await commitRows(bench, size);
    benches.set(size, bench);
  }
  const times = new Map<number, number[]>(sizes.map((size) => [size, []]));
  const memory = new Map<number, number>();
  // In turns, so that a busy machine is as busy for each.
  for (let round = 0; round < rounds; round++)
    for (const [size, bench] of benches) {
      await addPictures(bench, `round ${round}`, 10);
      times.get(size)!.push(await seconds(async () => bench.repository.commit(`round ${round}`, bench.registry, run)));
      memory.set(size, mib());
    }
  const first = median(times.get(sizes[0]!)!);
  console.log(`commit of 10 new pictures with its push, median of ${rounds}\n  pictures     s   ratio  rss MiB`);
  for (const size of sizes) {
    const time = median(times.get(size)!);
    console.log(`  ${String(size).padStart(8)}  ${time.toFixed(2)}  ${(time / first).toFixed(2).padStart(5)}  ${memory.get(size)}`);
  }
  for (const bench of benches.values()) await bench.close();
}

async function besideDvc(count: number): Promise<void> {
  const bench = await open();
  const { repository, registry, storage, root } = bench;
  const env = { DVC_SITE_CACHE_DIR: path.join(root, "site"), DVC_NO_ANALYTICS: "1" };
  await addPictures(bench, "first", count);
  console.log(`beside dvc, ${count} pictures and as many label files`);
  console.log(`  first commit with its push      ${(await seconds(async () => repository.commit("first", registry, run))).toFixed(2)} s`);
  // The same files, added by dvc itself.
  const other = path.join(root, "dvc");
  await mkdir(other);
  await execa("git", ["init", "--quiet"], { cwd: other });
  await execa(dvc, ["init", "--quiet"], { cwd: other, env });
  await execa("cp", ["-r", storage.images, path.join(other, "images")]);
  console.log(`  dvc add, all new                ${(await seconds(async () => execa(dvc, ["add", "--quiet", "images"], { cwd: other, env }))).toFixed(2)} s`);
  await addPictures(bench, "more", 10);
  const commit = await seconds(async () => repository.commit("more", registry, run));
  await execa("cp", ["-r", `${storage.images}/.`, path.join(other, "images")]);
  const add = await seconds(async () => execa(dvc, ["add", "--quiet", "images"], { cwd: other, env }));
  console.log(`  10 more: commit with its push   ${commit.toFixed(2)} s, dvc add ${add.toFixed(2)} s, ratio ${(commit / add).toFixed(2)}`);
  const parent = path.join(storage.private, "exports");
  const before = mib();
  const lay = await seconds(async () => exportVersion(repository, await repository.findVersion("HEAD", { registry }), { parent, split: 0.8, registry }));
  const grown = mib() - before;
  await rm(path.join(other, "images"), { recursive: true });
  await execa(dvc, ["config", "cache.type", "hardlink,copy"], { cwd: other, env });
  const checkout = await seconds(async () => execa(dvc, ["checkout", "--quiet"], { cwd: other, env }));
  console.log(
    `  findVersion and exportVersion   ${lay.toFixed(2)} s (rss + ${grown} MiB), dvc checkout ${checkout.toFixed(2)} s, ratio ${(lay / checkout).toFixed(2)}`,
  );
  await bench.close();
}

const [sizes = "1000,10000,100000"] = process.argv.slice(2).filter((arg) => !arg.startsWith("--"));
const files = Number(/--files=(\d+)/.exec(process.argv.join(" "))?.[1] ?? 10_000);
if (sizes !== "none") await commitOfTen(sizes.split(",").map(Number));
if (files > 0) await besideDvc(files);

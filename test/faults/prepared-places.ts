// The state before each step: a database to copy, and a folder with storage/, incoming/ and model/ to copy.
import { randomBytes } from "node:crypto";
import { mkdir, rm, utimes, writeFile } from "node:fs/promises";
import path from "node:path";
import { escapeIdentifier } from "pg";
import { execa } from "execa";
import sharp from "sharp";
import yazl from "yazl";
import { claimBatch, setLabelingTask } from "@airloom/dataset-platform/registry/batches.ts";
import { ensureClasses } from "@airloom/dataset-platform/registry/classes.ts";
import { recordModel } from "@airloom/dataset-platform/registry/models.ts";
import { Registry } from "@airloom/dataset-platform/registry/registry.ts";
import { storageLayout } from "@airloom/dataset-platform/store/layout.ts";
import { databaseUrl, parseDatabaseUrl } from "../../scripts/stack/database-url.ts";
import { withConnection } from "../../scripts/stack/databases.ts";
import { testServer } from "../database.ts";
import { stepRun } from "./steps/place.ts";

export const stepNames = ["ingest", "pull", "first-commit", "commit", "export", "publish"] as const;
export type StepName = (typeof stepNames)[number];

/** A database and a folder that a step works on. */
export interface Place {
  readonly database: string;
  readonly url: string;
  readonly folder: string;
}

/** Copies a place, with hard links as they are. */
export async function copyPlace(from: Place, folder: string): Promise<Place> {
  const first = await testServer();
  const database = `faults_${randomBytes(8).toString("hex")}`;
  await withConnection(first, (client) =>
    client.query(`create database ${escapeIdentifier(database)} template ${escapeIdentifier(from.database)} strategy file_copy`),
  );
  await execa("cp", ["-a", from.folder, folder]);
  return { database, url: databaseUrl(parseDatabaseUrl(first), database), folder };
}

export async function removePlace({ database, folder }: Place): Promise<void> {
  await withConnection(await testServer(), (client) => client.query(`drop database if exists ${escapeIdentifier(database)} with (force)`));
  await rm(folder, { recursive: true, force: true });
}

/** Waits until the server has noticed that a killed program is gone: nobody else uses the database. */
export async function untilUnused({ database }: Place): Promise<void> {
  await withConnection(await testServer(), async (client) => {
    for (const deadline = Date.now() + 30_000; ; await new Promise((resolve) => setTimeout(resolve, 10))) {
      const { rowCount } = await client.query("select 1 from pg_stat_activity where datname = $1", [database]);
      if (rowCount === 0) return;
      if (Date.now() > deadline) throw new Error(`sessions of a killed program still use ${database} after 30 s`);
    }
  });
}

/** Makes the places of all steps, each what the steps before it leave; `runStep` runs one undisturbed. */
export async function preparePlaces(
  folder: string,
  runStep: (program: string, place: Place, env?: Record<string, string>) => Promise<void>,
): Promise<ReadonlyMap<StepName, Place>> {
  await mkdir(folder, { recursive: true });
  const places = new Map<StepName, Place>();
  const at = await emptyPlace(path.join(folder, "now"));
  const keep = async (...names: StepName[]) => {
    for (const name of names) places.set(name, await copyPlace(at, path.join(folder, name)));
  };
  await put(at, "known.png", await picture(1));
  await runStep("ingest", at);
  await put(at, "known again.png", await picture(1));
  for (let n = 2; n <= 7; n++) await put(at, n % 2 === 0 ? `${n}.png` : `cam/${n}.png`, await picture(n));
  await put(at, "broken.jpg", Buffer.from("no picture at all"));
  await put(at, "some.zip", await zipOf({ "a/8.png": await picture(8), "9.png": await picture(9), "readme.txt": Buffer.from("two pictures") }));
  await keep("ingest");
  await runStep("ingest", at);
  await claim(at, "run-1");
  await keep("pull");
  await runStep("pull", at);
  await keep("first-commit");
  await runStep("commit", at);
  await keep("export");
  for (let n = 10; n <= 13; n++) await put(at, `${n}.png`, await picture(n));
  await runStep("ingest", at);
  await claim(at, "run-2");
  await runStep("pull", at);
  await keep("commit");
  await withRegistry(at, async (registry) => {
    const model = { name: "cars", version: "7", mlflowRun: "mlflow-run", datasetCommit: "c", files: { "best.onnx": "0".repeat(64) } };
    await registry.transaction((trx) => recordModel(trx, model, stepRun("register_model")));
  });
  for (let version = 1; version <= 6; version++) await runStep("publish", at, { FAULTS_VERSION: String(version) });
  await keep("publish");
  await removePlace(at);
  return places;
}

async function emptyPlace(folder: string): Promise<Place> {
  const first = await testServer();
  const database = `faults_${randomBytes(8).toString("hex")}`;
  await withConnection(first, (client) => client.query(`create database ${escapeIdentifier(database)} template template0 encoding 'UTF8'`));
  await mkdir(path.join(folder, "incoming"), { recursive: true });
  return { database, url: databaseUrl(parseDatabaseUrl(first), database), folder };
}

async function withRegistry(place: Place, work: (registry: Registry) => Promise<void>): Promise<void> {
  const storage = storageLayout(path.join(place.folder, "storage"));
  const registry = await Registry.open({ url: place.url, storage, pgDump: "pg_dump", python: "python3", say: () => undefined });
  try {
    await work(registry);
  } finally {
    await registry.close();
  }
}

/** All pictures that wait become a batch, of which people are asked for two classes. */
async function claim(place: Place, runId: string): Promise<void> {
  await withRegistry(place, async (registry) => {
    const run = { ...stepRun("select_batch"), runId };
    const claimed = await claimBatch(registry.db, { run, sourceId: "cam", size: 100, runAfter: "2026-01-01T00:00:00Z", isOver: async () => false });
    await registry.transaction(async (trx) => {
      const asked = await ensureClasses(trx, ["car", "tree"], run);
      await setLabelingTask(trx, claimed!.batch.id, { project: "p", asked, cvatUrl: "http://cvat.invalid", cvatTaskId: 5 }, run);
    });
  });
}

/** A picture of 20 by 16 pixels; other numbers look otherwise. */
export async function picture(n: number): Promise<Buffer> {
  const data = Buffer.alloc(20 * 16 * 3);
  for (let i = 0, state = n; i < data.length; i++) {
    state = (state * 1664525 + 1013904223) >>> 0;
    data[i] = state >>> 24;
  }
  return sharp(data, { raw: { width: 20, height: 16, channels: 3 } })
    .png()
    .toBuffer();
}

/** Puts a file into incoming/ that was written long ago: nobody waits whether it grows. */
async function put({ folder }: Place, name: string, data: Buffer): Promise<void> {
  const file = path.join(folder, "incoming", name);
  await mkdir(path.dirname(file), { recursive: true });
  await writeFile(file, data);
  const longAgo = new Date("2026-01-01T00:00:00Z");
  await utimes(file, longAgo, longAgo);
}

async function zipOf(files: Readonly<Record<string, Buffer>>): Promise<Buffer> {
  const zip = new yazl.ZipFile();
  for (const [name, data] of Object.entries(files)) zip.addBuffer(data, name, { mtime: new Date("2026-01-01T00:00:00Z") });
  zip.end();
  const chunks: Buffer[] = [];
  for await (const chunk of zip.outputStream) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

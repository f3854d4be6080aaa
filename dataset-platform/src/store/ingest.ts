import { availableParallelism } from "node:os";
import path from "node:path";
import pLimit from "p-limit";
import { isArchive } from "../archives/unpack.ts";
import type { Actor } from "../registry/events.ts";
import { databaseNow } from "../registry/database-now.ts";
import { type HeldNames, withHeldNames } from "../registry/held-names.ts";
import type { Registry } from "../registry/registry.ts";
import { filesBeneath, filesOfRoot, type Found, isSourceId, type Place, placesOf } from "./incoming-files.ts";
import { ingestArchive } from "./ingest-archive.ts";
import { type ChunkContext, ingestChunk, type IngestReport } from "./ingest-chunk.ts";
import type { StorageLayout } from "./layout.ts";
import { type PictureWorkers, startPictureWorkers } from "./picture-workers.ts";
import { settle } from "./settled.ts";
import { adoptLeftovers, type Candidate, makeTaking, removeEmpty, type Settled } from "./taking.ts";

export type { IngestReport, NamedFile } from "./ingest-chunk.ts";

/** How long apart the two looks are after which a young file counts as written. */
const defaultSettleMs = 2000;
/** How many files go through the steps together: one question and one transaction of the registry for all. */
const chunkFiles = 32;
/** Processes that decode take some 100 MB each; beyond this many, disks and the registry are what is waited for. */
const mostWorkers = 32;

/** A name that cannot be a source's. */
export class BadSourceId extends Error {
  override readonly name = "BadSourceId";
}

export interface IngestOptions {
  readonly incoming: string;
  readonly storage: StorageLayout;
  readonly registry: Registry;
  readonly sourceId: string;
  /** Who takes the pictures. */
  readonly run: Actor;
  /** @default 2000 */
  readonly settleMs?: number;
  readonly signal?: AbortSignal;
  /** Told how many files of how many are done, after each few. Archives count their files once they are unpacked. */
  readonly progress?: (done: number, total: number) => void;
  /** Told what was left out, and for which source files were taken. */
  readonly note?: (line: string) => void;
  /** Processes to work with, which the caller ends. @default one for each core, ended here */
  readonly workers?: PictureWorkers;
}

/**
 * Takes the pictures in `incoming`, and those in its sub-folder named for the source, into the store. A file is taken by
 * renaming it; bytes come first, then the registry, and only then does the file leave: ended anywhere and run again,
 * nothing is lost and nothing is there twice.
 */
export async function ingest(options: IngestOptions): Promise<IngestReport> {
  const { sourceId } = options;
  if (!isSourceId(sourceId))
    throw new BadSourceId(`${JSON.stringify(sourceId)} cannot be a source: use up to 100 letters, digits, "_", "-" and ".", not "." first, and not "rejected"`);
  return withHeldNames(options.registry.db, (names) => ingestHolding(names, options));
}

async function ingestHolding(names: HeldNames, options: IngestOptions): Promise<IngestReport> {
  const { incoming, sourceId, signal, note = () => undefined } = options;
  const report: IngestReport = { added: [], known: [], rejected: [], waiting: [], failed: [] };
  const { places, notes } = await placesOf(incoming, sourceId);
  for (const line of notes) note(line);
  const folders: string[] = [];
  const candidates: Candidate[] = [];
  try {
    let nowMs = Date.now();
    for (const place of places)
      try {
        const taking = await openPlace(place, names, options, folders, candidates);
        nowMs = taking?.nowMs ?? nowMs;
      } catch (error) {
        // A source's folder that is closed to us; without incoming/ itself there is nothing to do.
        if (place.prefix === "" || (error as NodeJS.ErrnoException).syscall === undefined) throw error;
        report.failed.push({ name: place.folder, why: (error as Error).message });
      }
    const offset = nowMs - Date.now();
    const startedAt = await databaseNow(options.registry.db);
    const files = await settledFiles(candidates, nowMs, options, report);
    if (files.length === 0) return report;
    const workers = options.workers ?? startPictureWorkers(Math.min(availableParallelism(), mostWorkers, files.length));
    try {
      const context = { ...options, actor: options.run, workers, report, startedAt, nowMs: () => Date.now() + offset };
      await ingestFiles(files, context, options);
    } finally {
      if (!options.workers) workers.close();
    }
    signal?.throwIfAborted();
    return report;
  } finally {
    for (const folder of folders) await removeEmpty(folder);
  }
}

/** Finds the files of a place, and what earlier runs have left there, and makes the folder that they are taken into. */
async function openPlace(place: Place, names: HeldNames, options: IngestOptions, folders: string[], candidates: Candidate[]) {
  const { incoming, sourceId, note } = options;
  const left = await adoptLeftovers(place, names);
  folders.push(...left.folders);
  if (left.files.length > 0) note?.(`${left.files.length} files that an earlier run had taken and not brought to its end are taken up`);
  candidates.push(...left.files);
  const found = place.prefix === "" ? await filesOfRoot(incoming, sourceId) : await filesBeneath(place.folder);
  tell(found, place, options);
  if (left.files.length + found.files.length === 0) return undefined;
  const taking = await makeTaking(place, sourceId, names);
  folders.push(taking.folder);
  for (const { path: from, name } of found.files)
    candidates.push({ place, sourceId, name, from, taken: path.join(taking.folder, name), isTaken: false, isUnpacked: false });
  return taking;
}

function tell({ files, notes }: Found, place: Place, { incoming, sourceId, note }: IngestOptions): void {
  for (const line of notes) note?.(line);
  if (place.prefix === "" && files.length > 0)
    note?.(
      `${files.length} files directly in ${incoming} are taken for source "${sourceId}"; what lies in ${path.join(incoming, sourceId)} is always that source's`,
    );
}

async function settledFiles(candidates: readonly Candidate[], nowMs: number, options: IngestOptions, report: IngestReport): Promise<Settled[]> {
  const { settleMs = defaultSettleMs, signal } = options;
  const { settled, moving, closed } = await settle(candidates, ({ from, taken, isTaken }) => (isTaken ? taken : from), { settleMs, nowMs, signal });
  for (const { place, name } of moving) report.waiting.push({ name: place.prefix + name, why: "it is still being written" });
  for (const { file, why } of closed) report.failed.push({ name: file.place.prefix + file.name, why });
  return settled.map(({ file, look }, order) => ({ ...file, look, order }));
}

/** Takes pictures by chunks, a few at once, and then archives one by one. Stops between chunks where it is aborted, and after the first that throws. */
async function ingestFiles(files: readonly Settled[], context: ChunkContext, { signal, progress }: IngestOptions): Promise<void> {
  let done = 0;
  let total = files.length;
  let failure: { error: unknown } | undefined;
  const limit = pLimit(context.workers.count + 1);
  const inChunks = async (some: readonly Settled[]): Promise<boolean> => {
    const chunks = Array.from({ length: Math.ceil(some.length / chunkFiles) }, (_, i) => some.slice(i * chunkFiles, (i + 1) * chunkFiles));
    let areDone = true;
    await Promise.all(
      chunks.map((chunk) =>
        limit(async () => {
          if (signal?.aborted || failure) return void (areDone = false);
          try {
            const open = await ingestChunk(chunk, context);
            if (open.length > 0) areDone = false;
          } catch (error) {
            failure ??= { error };
          }
          progress?.((done += chunk.length), total);
        }),
      ),
    );
    if (failure) throw failure.error;
    return areDone;
  };
  await inChunks(files.filter((file) => !isArchive(file.name)));
  for (const archive of files.filter((file) => isArchive(file.name))) {
    if (signal?.aborted) return;
    await ingestArchive(archive, context, signal, async (unpacked) => {
      total += unpacked.length;
      return inChunks(unpacked);
    });
    progress?.(++done, total);
  }
}

import { lstat } from "node:fs/promises";
import path from "node:path";
import { addImages, findStored } from "../registry/add-images.ts";
import type { Actor } from "../registry/events.ts";
import type { NewImage } from "../registry/images.ts";
import type { Registry } from "../registry/registry.ts";
import { isArchive } from "../archives/unpack.ts";
import { placeAsides } from "./atomic-write.ts";
import type { Hope } from "./describe-picture.ts";
import { imagePath, type StorageLayout } from "./layout.ts";
import type { FinishRequest } from "./picture-file.ts";
import type { StoredPicture, StoreResult } from "./store-picture.ts";
import { type PictureWorkers, WorkerDied } from "./picture-workers.ts";
import { dropWaitingPredictions, type Predictions, readWaitingPredictions, savePredictions } from "./predictions.ts";
import { lastBytes, moveToRejected } from "./rejected-files.ts";
import { isSameFile, isYounger, lookOf } from "./settled.ts";
import { handBack, type Settled } from "./taking.ts";

export interface NamedFile {
  readonly name: string;
  readonly why: string;
}

export interface IngestReport {
  /** SHA-256 of the images that were not known before. */
  readonly added: string[];
  /** Names of files whose bytes were known already. */
  readonly known: string[];
  /** What is no picture that can be taken; it is in `rejected/`. */
  readonly rejected: NamedFile[];
  /** What is still being written; the next run takes it. */
  readonly waiting: NamedFile[];
  /** What could not be read or moved: a permission, a damaged disk. It is where it was. */
  readonly failed: NamedFile[];
}

export interface ChunkContext {
  readonly incoming: string;
  readonly storage: StorageLayout;
  readonly registry: Registry;
  readonly actor: Actor;
  readonly workers: PictureWorkers;
  readonly report: IngestReport;
  /** When the run began, by the registry's clock. */
  readonly startedAt: Date;
  /** The time by the clock of the volume. */
  readonly nowMs: () => number;
}

interface Ready {
  readonly file: Settled;
  readonly sha256: string;
  /** Predictions wait beside it. */
  readonly predictions: boolean;
}

const hopeMs: Readonly<Record<Hope, number>> = { soon: 60_000, later: 60 * 60_000, never: 0 };
/** The longest name that the registry keeps of a file, in bytes: its index takes no more than 2,700. */
const longestKeptName = 1000;

/** The name that people know a file by. */
export const shownName = ({ place, name }: Settled): string => place.prefix + name;

/**
 * Takes some files into the store: hash, and only for those that are not known decode, bytes and row; the files leave last.
 * Returns those that were not brought to an end. One file's trouble never stops the others.
 */
export async function ingestChunk(files: readonly Settled[], context: ChunkContext): Promise<readonly Settled[]> {
  const { registry, workers, report } = context;
  const open = new Set(files);
  const ready = await takeAll(files, context, open);
  const known = await findStored(
    registry.db,
    ready.map(({ sha256 }) => sha256),
  );
  const fresh = new Map<string, Ready>();
  for (const one of ready) if (!known.has(one.sha256) && !fresh.has(one.sha256)) fresh.set(one.sha256, one);
  const results = new Map<string, StoreResult>();
  await Promise.all([...fresh.values()].map(async (one) => results.set(one.sha256, await store(one, context))));

  const asides = [...results.values()].flatMap((result) => (result.kind === "stored" ? [result.aside] : []));
  // Here, where waiting for the disk keeps no process from decoding.
  await placeAsides(asides);

  const stored = new Map<string, { extension: string; bytes: number }>(known);
  const images: { order: number; image: NewImage }[] = [];
  for (const [sha256, one] of fresh) {
    const result = results.get(sha256)!;
    if (result.kind !== "stored") continue;
    stored.set(sha256, { extension: result.facts.extension, bytes: result.bytes });
    images.push({ order: one.file.order, image: rowOf(one, result) });
  }
  const inStore = ready.filter(({ sha256 }) => stored.has(sha256));
  const predictions = await readPredictions(inStore);
  const added = await registry.transaction(async (trx) => {
    const ids = await addImages(trx, { at: context.startedAt, images }, context.actor);
    await savePredictions(trx, predictions);
    return ids;
  });

  for (const { file, sha256 } of ready) {
    const result = results.get(sha256);
    if (result && result.kind !== "stored") await endOtherwise(file, result, context, open);
  }
  const finished = await workers.run({ kind: "finish", files: inStore.map((one) => finishRequest(one, stored.get(one.sha256)!, context)) });
  for (const [i, result] of finished.entries()) {
    const { file, sha256, predictions: hadSome } = inStore[i]!;
    if (result.kind !== "finished") {
      await endOtherwise(file, result, context, open);
      continue;
    }
    open.delete(file);
    if (hadSome) await dropWaitingPredictions(folderOf(file), sha256);
    if (added.delete(sha256)) report.added.push(sha256);
    else report.known.push(shownName(file));
  }
  // Added, although its file was written to meanwhile and waits.
  report.added.push(...added);
  return [...open];
}

/** Where a file waits, and predictions beside it. */
const folderOf = ({ place, name }: Settled) => path.join(place.folder, path.dirname(name));

async function takeAll(files: readonly Settled[], context: ChunkContext, open: Set<Settled>): Promise<Ready[]> {
  const requests = files.map((file) => ({ ...takeRequest(file), isArchive: false }));
  const taken = await context.workers.run({ kind: "take", files: requests });
  const ready: Ready[] = [];
  for (const [i, result] of taken.entries()) {
    const file = files[i]!;
    if (result.kind !== "taken") await endOtherwise(file, result, context, open);
    else if (file.isUnpacked && isArchive(file.name))
      await endOtherwise(file, { kind: "refused", why: "an archive within an archive is not unpacked", hope: "never" }, context, open);
    else ready.push({ file, sha256: result.sha256, predictions: result.predictions });
  }
  return ready;
}

/** What the process that takes a file is asked. */
export const takeRequest = (file: Settled) => ({ from: file.from, taken: file.taken, isTaken: file.isTaken, look: file.look, folder: folderOf(file) });

async function store({ file, sha256 }: Ready, { storage, workers, nowMs }: ChunkContext): Promise<StoreResult> {
  const targets = Object.fromEntries(["jpg", "png", "webp"].map((extension) => [extension, path.join(storage.images, imagePath(sha256, extension))]));
  const mayGrow = !file.isUnpacked && isYounger(file.look, hopeMs.later, nowMs());
  const job = { kind: "store", file: { taken: file.taken, look: file.look, sha256, targets, mayGrow } } as const;
  try {
    // The process may have ended for another reason, want of memory say: once more, alone to blame.
    return await workers.run(job).catch((error: unknown) => {
      if (error instanceof WorkerDied) return workers.run(job);
      throw error;
    });
  } catch (error) {
    if (!(error instanceof WorkerDied)) throw error;
    if (error.ofItself) return { kind: "refused", why: `it cannot be decoded: twice, ${error.message}`, hope: "never" };
    return { kind: "failed", why: `twice, ${error.message}: is the machine out of memory?` };
  }
}

function rowOf({ file, sha256 }: Ready, { facts, md5, bytes }: StoredPicture): NewImage {
  return { ...facts, look: Buffer.from(facts.look), md5, bytes, sha256, source_id: file.sourceId, original_name: keptName(shownName(file)) };
}

/** A name that fits into the registry: of one that is too long its end, which holds the file's own. */
function keptName(name: string): string {
  if (Buffer.byteLength(name) <= longestKeptName) return name;
  return `…${lastBytes(name, longestKeptName - 4)}`;
}

async function readPredictions(ready: readonly Ready[]): Promise<Predictions[]> {
  const read = await Promise.all(ready.filter((one) => one.predictions).map(({ file, sha256 }) => readWaitingPredictions(folderOf(file), sha256)));
  return read.filter((one) => one !== undefined);
}

function finishRequest({ file, sha256 }: Ready, { extension, bytes }: { extension: string; bytes: number }, { storage }: ChunkContext): FinishRequest {
  return { taken: file.taken, look: file.look, sha256, target: path.join(storage.images, imagePath(sha256, extension)), bytes };
}

type NotTaken = Exclude<StoreResult, StoredPicture>;

/** Brings a file to its end, or back, that was not taken. Its own trouble is noted; the registry's is not a file's. */
export async function endOtherwise(file: Settled, result: NotTaken, context: ChunkContext, open: Set<Settled>): Promise<void> {
  const { report, incoming, nowMs } = context;
  const name = shownName(file);
  try {
    switch (result.kind) {
      case "gone":
        // Another run has it. What was unpacked is nobody else's: its archive is not done.
        if (!file.isUnpacked) open.delete(file);
        return;
      case "changed":
        report.waiting.push({ name, why: "it is still being written" });
        // Another picture was renamed over it since it was looked at: it stays taken, for the next run, since under its name a
        // camera would write over it.
        if (isSameFile(file.look, lookOf(await lstat(file.taken)))) await handBack(file);
        return;
      case "failed":
        report.failed.push({ name, why: result.why });
        return await handBack(file);
      case "refused":
        if (!file.isUnpacked && isYounger(file.look, hopeMs[result.hope], nowMs())) {
          report.waiting.push({ name, why: `${result.why}; it is young, and may not have been copied to its end` });
          return await handBack(file);
        }
        await moveToRejected(incoming, file.taken, file.name, result.why);
        report.rejected.push({ name, why: result.why });
        open.delete(file);
    }
  } catch (error) {
    const { code, message, syscall } = error as NodeJS.ErrnoException;
    if (syscall === undefined) throw error;
    // Another run was faster here too.
    if (code !== "ENOENT") report.failed.push({ name, why: message });
  }
}

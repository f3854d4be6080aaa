import { createHash } from "node:crypto";
import { access, lstat, mkdir, open, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import sharp from "sharp";
import type { Registry } from "../registry/registry.ts";
import { atomicWrite, syncFolder } from "./atomic-write.ts";
import { imagePath, type StorageLayout } from "./layout.ts";
import { dropPredictions, takePredictions } from "./predictions.ts";

/** The most bytes of one picture, and the most pixels it may decode to. */
export const maxImageBytes = 64 * 1024 * 1024;
export const maxImagePixels = 100_000_000;

/** Formats that are taken, by sharp's name, and the extension each is stored under. */
const extensions: Readonly<Record<string, string>> = { jpeg: "jpg", png: "png", webp: "webp" };

const rejectedFolder = "rejected";

export interface IngestReport {
  /** SHA-256 of the images that were not known before. */
  readonly added: readonly string[];
  /** Names of files whose bytes were known already. */
  readonly known: readonly string[];
  readonly rejected: readonly { readonly name: string; readonly why: string }[];
}

export interface IngestOptions {
  readonly incoming: string;
  readonly storage: StorageLayout;
  readonly registry: Registry;
  readonly sourceId: string;
  /** Called before each write that a crash could split; the kill tests end the process here. */
  readonly beforeWrite?: (step: "bytes" | "row" | "remove" | "reject") => void;
  readonly signal?: AbortSignal;
}

/**
 * Takes the pictures in `incoming`, and those in its sub-folder named for the source, into the store. Bytes first, then the
 * registry, and only then does the file leave: ended anywhere and run again, nothing is lost and nothing is there twice.
 */
export async function ingest(options: IngestOptions): Promise<IngestReport> {
  // It names a folder beneath incoming/: it must not lead out of it, nor to what was refused.
  if (!/^[\w-][\w.-]{0,99}$/.test(options.sourceId) || options.sourceId === rejectedFolder)
    throw new RangeError(`"${options.sourceId}" cannot be a source: use letters, digits, "_", "-" and ".", not at the beginning, and not "${rejectedFolder}"`);
  const added: string[] = [];
  const known: string[] = [];
  const rejected: { name: string; why: string }[] = [];
  for (const file of await incomingFiles(options.incoming, options.sourceId)) {
    options.signal?.throwIfAborted();
    const name = path.relative(options.incoming, file);
    const picture = await inspect(file).catch((error: NodeJS.ErrnoException) => {
      // Another run that ingests at the same time was faster.
      if (error.code === "ENOENT") return undefined;
      throw error;
    });
    if (!picture) continue;
    if ("why" in picture) {
      await reject(options, file, picture.why);
      rejected.push({ name, why: picture.why });
      continue;
    }
    const target = path.join(options.storage.images, imagePath(picture.sha256, picture.extension));
    options.beforeWrite?.("bytes");
    if (!(await exists(target))) await atomicWrite(target, picture.data, 0o444);
    options.beforeWrite?.("row");
    const { data, ...facts } = picture;
    const isNew = await options.registry.addImage({
      ...facts,
      bytes: data.length,
      source_id: options.sourceId,
      original_name: name,
      ingested_at: new Date().toISOString(),
    });
    if (isNew) added.push(picture.sha256);
    else known.push(name);
    await takePredictions(path.dirname(file), options.storage, picture.sha256);
    options.beforeWrite?.("remove");
    await rm(file, { force: true });
    await dropPredictions(path.dirname(file), picture.sha256);
  }
  return { added, known, rejected };
}

async function incomingFiles(incoming: string, sourceId: string): Promise<string[]> {
  const found: string[] = [];
  for (const folder of [incoming, path.join(incoming, sourceId)]) {
    const entries = await readdir(folder, { withFileTypes: true }).catch((error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT" && folder !== incoming) return [];
      throw new Error(`cannot read the folder of incoming pictures ${folder}: ${error.message}`, { cause: error });
    });
    // Hidden files are not pictures: .gitkeep, and what editors and copy programs leave while they work. Links are not followed.
    for (const entry of entries) if (entry.isFile() && !entry.name.startsWith(".")) found.push(path.join(folder, entry.name));
  }
  return found.toSorted();
}

interface Picture {
  readonly data: Buffer;
  readonly sha256: string;
  readonly md5: string;
  readonly extension: string;
  readonly width: number;
  readonly height: number;
  readonly orientation: number;
}

/** The picture in a file, decoded once in full to know that it is whole; or why it cannot be taken. */
async function inspect(file: string): Promise<Picture | { readonly why: string }> {
  const { size } = await lstat(file);
  if (size === 0) return { why: "the file is empty" };
  if (size > maxImageBytes) return { why: `the file has ${size} bytes, and ${maxImageBytes} is the most` };
  const data = await readFile(file);
  try {
    const image = sharp(data, { limitInputPixels: maxImagePixels, failOn: "truncated" });
    const { format, width, height, orientation, pages } = await image.metadata();
    const extension = extensions[format];
    if (!extension) return { why: `it is ${format}, and only JPEG, PNG and WebP are taken` };
    if ((pages ?? 1) > 1) return { why: "it is an animation" };
    await image.stats();
    const digest = (algorithm: string) => createHash(algorithm).update(data).digest("hex");
    return { data, sha256: digest("sha256"), md5: digest("md5"), extension, width, height, orientation: orientation ?? 1 };
  } catch (error) {
    return { why: `it cannot be decoded: ${(error as Error).message.split("\n")[0]}` };
  }
}

/** Moves a file that cannot be taken to `rejected/`, with the reason beside it: it is the user's, and not ours to delete. */
async function reject(options: IngestOptions, file: string, why: string): Promise<void> {
  const folder = path.join(options.incoming, rejectedFolder);
  await mkdir(folder, { recursive: true });
  let target = path.join(folder, path.basename(file));
  for (let n = 2; await exists(target); n++) target = path.join(folder, `${n}-${path.basename(file)}`);
  await writeFile(`${target}.why.txt`, `${why}\n`);
  options.beforeWrite?.("reject");
  await rename(file, target);
  await syncFolder(folder);
}

async function exists(file: string): Promise<boolean> {
  return access(file).then(
    () => true,
    () => false,
  );
}

/** Whether stored bytes still have their name's hash; for audits and tests. */
export async function verifyImage(file: string): Promise<boolean> {
  const handle = await open(file);
  try {
    const hash = createHash("sha256");
    for await (const chunk of handle.createReadStream()) hash.update(chunk as Buffer);
    return hash.digest("hex") === path.basename(file).split(".")[0];
  } finally {
    await handle.close().catch(() => undefined);
  }
}

// A folder of incoming pictures, a store and a registry for a test of ingest.
import { randomUUID } from "node:crypto";
import { mkdir, mkdtemp, readdir, rename, rm, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import type { ImageRow } from "@airloom/dataset-platform/registry/tables.ts";
import { ingest, type IngestOptions, type IngestReport } from "@airloom/dataset-platform/store/ingest.ts";
import { imagePath } from "@airloom/dataset-platform/store/layout.ts";
import { type PictureWorkers, startPictureWorkers } from "@airloom/dataset-platform/store/picture-workers.ts";
import { hashOfStored } from "@airloom/dataset-platform/store/verify-image.ts";
import sharp, { type Sharp } from "sharp";
import { openTestRegistry, runKey, type TestRegistry } from "../registry/open-registry.ts";

/** A picture of one colour; different numbers give different bytes. */
export const picture = (n: number, format: "png" | "jpeg" | "webp" = "png"): Promise<Buffer> =>
  sharp({ create: { width: 20 + (n % 50), height: 16, channels: 3, background: { r: n % 256, g: 255 - (n % 256), b: (n >> 8) % 256 } } })
    .toFormat(format, { quality: 90 })
    .toBuffer();

/** A picture with something to see, so that its file has weight. */
export function scene(seed: number, width = 320, height = 240): Sharp {
  const data = Buffer.alloc(width * height * 3);
  let state = (seed * 2654435761) >>> 0;
  for (let i = 0; i < data.length; i++) {
    state = (state * 1664525 + 1013904223) >>> 0;
    data[i] = (state >>> 24) & 0x7f;
  }
  return sharp(data, { raw: { width, height, channels: 3 } }).blur(1.2);
}

/** When the files of tests that do not ask about writing were written. */
const longAgo = new Date(Date.now() - 86_400_000);

export interface IngestPlace extends TestRegistry {
  readonly root: string;
  readonly incoming: string;
  /** Puts a file there that was written long ago, or just now. */
  put(name: string, data: string | Buffer, when?: Date): Promise<string>;
  run(options?: Partial<IngestOptions>): Promise<IngestReport>;
  rows(): Promise<ImageRow[]>;
  /** Every file beneath a folder, relative to it. */
  files(folder?: string): Promise<string[]>;
  /** What is wrong with the store: rows without their bytes, bytes under another's name, files without a row. */
  faults(): Promise<string[]>;
}

export async function openIngestPlace(): Promise<IngestPlace> {
  const registry = await openTestRegistry();
  const root = await mkdtemp(path.join(tmpdir(), "ingest-"));
  const incoming = path.join(root, "incoming");
  await mkdir(incoming);
  const files = async (folder = incoming) => {
    const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => []);
    return entries
      .filter((entry) => !entry.isDirectory())
      .map((entry) => path.relative(folder, path.join(entry.parentPath, entry.name)))
      .toSorted();
  };
  const rows = () => registry.registry.db.selectFrom("images").selectAll().orderBy("ingested_at").execute();
  return {
    ...registry,
    root,
    incoming,
    files,
    rows,
    async put(name, data, when = longAgo) {
      const file = path.join(incoming, name);
      await mkdir(path.dirname(file), { recursive: true });
      // Whole and of its age when it appears: a run that is under way may take it at once.
      const next = path.join(path.dirname(file), `.put-${randomUUID()}`);
      await writeFile(next, data);
      await utimes(next, when, when);
      await rename(next, file);
      return file;
    },
    run: (options = {}) =>
      ingest({
        incoming,
        storage: registry.storage,
        registry: registry.registry,
        sourceId: "cam",
        run: runKey("r"),
        settleMs: 1,
        workers: sharedWorkers(),
        ...options,
      }),
    async faults() {
      const wrong: string[] = [];
      // What a killed run had begun to write stands under hidden names.
      const left = new Set((await files(registry.storage.images)).filter((name) => !path.basename(name).startsWith(".")));
      for (const { sha256, extension } of await rows()) {
        const name = imagePath(sha256, extension);
        if (!left.delete(name)) wrong.push(`${name} is missing`);
        else if ((await hashOfStored(path.join(registry.storage.images, name))) !== sha256) wrong.push(`${name} holds other bytes`);
      }
      return [...wrong, ...[...left].map((name) => `${name} has no row`)];
    },
    async close() {
      await registry.close();
      await rm(root, { recursive: true, force: true });
    },
  };
}

let workers: PictureWorkers | undefined;
/** The processes that all tests of a file work with: to start them takes longer than most tests. */
function sharedWorkers(): PictureWorkers {
  return (workers ??= startPictureWorkers(2));
}

/** Ends them; every test file of ingest does it last. */
export function closeSharedWorkers(): void {
  workers?.close();
  workers = undefined;
}

// A registry of its own for a test, with a storage folder beside it.
import { createHash, randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import type { RunKey } from "@airloom/dataset-platform/registry/events.ts";
import { addImage, type NewImage } from "@airloom/dataset-platform/registry/images.ts";
import { Registry } from "@airloom/dataset-platform/registry/registry.ts";
import { type StorageLayout, storageLayout } from "@airloom/dataset-platform/store/layout.ts";
import { newDatabase } from "../../../test/database.ts";

export interface TestRegistry {
  readonly registry: Registry;
  readonly url: string;
  readonly storage: StorageLayout;
  /** Another connection pool to the same registry, as another process has. */
  again(): Promise<Registry>;
  close(): Promise<void>;
}

/** What a registry needs beside its database and folder, in a test. */
export const programs = { pgDump: "pg_dump", python: "python3", say: () => undefined };

export async function openTestRegistry(): Promise<TestRegistry> {
  const database = await newDatabase();
  const root = await mkdtemp(path.join(tmpdir(), "registry-"));
  const storage = storageLayout(path.join(root, "storage"));
  const open = () => Registry.open({ url: database.url, storage, ...programs });
  const opened: Registry[] = [await open()];
  return {
    registry: opened[0]!,
    url: database.url,
    storage,
    async again() {
      const registry = await open();
      opened.push(registry);
      return registry;
    },
    async close() {
      for (const registry of opened) await registry.close();
      await database.drop();
      await rm(root, { recursive: true, force: true });
    },
  };
}

/** A task of a run. */
export const runKey = (runId: string, dagId = "labeling_pipeline"): RunKey => ({ dagId, runId, taskId: "select_batch", mapIndex: -1 });

/** Facts of a picture that is nowhere but in rows. */
export function inventImage(source = "manual_upload"): NewImage {
  const bytes = randomBytes(16);
  const digest = (algorithm: string) => createHash(algorithm).update(bytes).digest("hex");
  const facts = { extension: "jpg", bytes: 16, width: 320, height: 240, orientation: 1, captured_at: null };
  return { ...facts, sha256: digest("sha256"), md5: digest("md5"), source_id: source, original_name: `${digest("md5")}.jpg` };
}

/** Adds invented pictures; their SHA-256s in order of arrival. */
export async function addImages(registry: Registry, count: number, source?: string): Promise<string[]> {
  const images = Array.from({ length: count }, () => inventImage(source));
  for (const image of images) await registry.transaction((trx) => addImage(trx, image, runKey("ingest")));
  return images.map(({ sha256 }) => sha256);
}

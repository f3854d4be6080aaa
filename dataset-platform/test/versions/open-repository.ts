// A storage folder with labelled pictures, its registry, and its repository, for a test.
import { createHash, randomBytes } from "node:crypto";
import { mkdir, writeFile } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { execa } from "execa";
import { type Box, storeAnnotation } from "@airloom/dataset-platform/registry/annotations.ts";
import { ensureClasses } from "@airloom/dataset-platform/registry/classes.ts";
import { addImage } from "@airloom/dataset-platform/registry/images.ts";
import type { Registry } from "@airloom/dataset-platform/registry/registry.ts";
import { imagePath, type StorageLayout } from "@airloom/dataset-platform/store/layout.ts";
import { DataRepository, type RepositoryOptions } from "@airloom/dataset-platform/versions/data-repository.ts";
import { openTestRegistry, runKey, type TestRegistry } from "../registry/open-registry.ts";

export const dvc = process.env["DVC"] ?? fileURLToPath(new URL("../../../.venv/bin/dvc", import.meta.url));
export const run = runKey("run-1");

export interface TestRepository {
  readonly tested: TestRegistry;
  readonly registry: Registry;
  readonly storage: StorageLayout;
  readonly repository: DataRepository;
  /** What was said. */
  readonly news: string[];
  /** Another repository object on the same folder, as another process has. */
  open(options?: Partial<RepositoryOptions>): DataRepository;
  at(...parts: string[]): string;
  /** Adds a labelled picture, in a folder of images/ that no other has, as far as there are folders; its SHA-256. */
  add(options?: AddOptions): Promise<string>;
  label(sha256: string, boxes: readonly Box["xywh"][], asked?: readonly string[]): Promise<void>;
  commit(message?: string): Promise<string>;
  git(...args: string[]): Promise<string>;
  /** Runs the real dvc; what it said. */
  dvc(folder: string, ...args: string[]): Promise<string>;
  close(): Promise<void>;
}

export interface AddOptions {
  readonly asked?: readonly string[];
  readonly group?: string;
  readonly boxes?: readonly Box["xywh"][];
  readonly labelled?: boolean;
}

const oneBox: readonly Box["xywh"][] = [[0.5, 0.5, 0.25, 0.5]];

export async function openTestRepository(options: Partial<RepositoryOptions> = {}): Promise<TestRepository> {
  const tested = await openTestRegistry();
  const { registry, storage } = tested;
  const news: string[] = [];
  const folders = new Set<string>();
  const open = (more: Partial<RepositoryOptions> = {}) =>
    new DataRepository({
      storage,
      dvc,
      remoteUrl: path.join(storage.root, ".remote"),
      news: { info: (text) => news.push(text), warn: (text) => news.push(text) },
      ...options,
      ...more,
    });
  const repository = open();
  const label: TestRepository["label"] = async (sha256, boxes, asked = ["car"]) =>
    registry.transaction(async (trx) => {
      const ids = await ensureClasses(trx, asked, run);
      const origin = { annotator: null, cvatJobId: null, batchId: null, cvatUrl: null, cvatTaskId: null, origin: "imported" as const };
      await storeAnnotation(trx, { ...origin, sha256, asked: ids, boxes: boxes.map((xywh) => ({ classId: ids[0]!, xywh, how: "drawn" as const })) });
      await trx.updateTable("images").set({ state: "labelled" }).where("sha256", "=", sha256).execute();
    });
  return {
    tested,
    registry,
    storage,
    repository,
    news,
    open,
    label,
    at: (...parts) => path.join(storage.root, ...parts),
    async add({ asked, group, boxes = oneBox, labelled = true } = {}) {
      let bytes = randomBytes(40);
      const digest = (algorithm: string) => createHash(algorithm).update(bytes).digest("hex");
      while (folders.has(digest("sha256").slice(0, 2)) && folders.size < 256) bytes = randomBytes(40);
      const sha256 = digest("sha256");
      folders.add(sha256.slice(0, 2));
      const file = path.join(storage.images, imagePath(sha256, "jpg"));
      await mkdir(path.dirname(file), { recursive: true });
      await writeFile(file, bytes);
      const facts = { extension: "jpg", bytes: 40, width: 320, height: 240, orientation: 1, captured_at: null };
      await registry.transaction((trx) =>
        addImage(trx, { ...facts, sha256, md5: digest("md5"), source_id: "x", original_name: "a.jpg", ...(group ? { group_id: group } : {}) }, run),
      );
      if (labelled) await label(sha256, boxes, asked);
      return sha256;
    },
    async commit(message = "Auto-commit: a batch") {
      return (await repository.commit(message, registry, run)) ?? "nothing to commit";
    },
    git: async (...args) => (await execa("git", ["-c", "user.name=x", "-c", "user.email=x@x", ...args], { cwd: storage.root })).stdout,
    dvc: async (folder, ...args) =>
      (
        await execa(dvc, args, {
          cwd: folder,
          all: true,
          env: { DVC_SITE_CACHE_DIR: path.join(storage.root, "../site"), DVC_NO_ANALYTICS: "1", PYTHONUTF8: "1" },
        })
      ).all,
    close: async () => tested.close(),
  };
}

import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import path from "node:path";
import type { Db } from "../registry/database.ts";
import { hashOf, sizeOf } from "../store/file-facts.ts";
import { imagePath, labelPath, type StorageLayout } from "../store/layout.ts";
import type { Problem } from "./problem.ts";

export interface FileOptions {
  /** Reads and hashes every byte, where otherwise sizes are compared. */
  readonly deep: boolean;
}

/** What is wrong between the registry's rows and the files of the storage folder. One of 256 folders is in memory at a time. */
export async function* problemsOfFiles(db: Db, storage: StorageLayout, options: FileOptions): AsyncGenerator<Problem> {
  for (const prefix of await prefixes(storage)) yield* problemsOfFolder(db, storage, prefix, options);
}

/** Every folder that there may be, and what else lies in images/. */
async function prefixes({ images }: StorageLayout): Promise<string[]> {
  const all = Array.from({ length: 256 }, (_, i) => i.toString(16).padStart(2, "0"));
  const found = await namesIn(images);
  return [...all, ...found.filter((name) => !all.includes(name) && !isHousekeeping(name))];
}

/** Git's and DVC's own small files. */
const isHousekeeping = (name: string) => name === ".gitignore" || name.endsWith(".dvc");

async function* problemsOfFolder(db: Db, storage: StorageLayout, prefix: string, { deep }: FileOptions): AsyncGenerator<Problem> {
  const there = await filesBeneath(path.join(storage.images, prefix), prefix);
  const rows = await db
    .selectFrom("images")
    .leftJoin("annotations", "annotations.id", "images.committed_annotation_id")
    .select(["images.sha256", "extension", "bytes", "label_md5", "visible_annotation_id", "committed_annotation_id"])
    .where("images.sha256", ">=", prefix)
    .where("images.sha256", "<", `${prefix}g`)
    .orderBy("images.sha256")
    .execute();
  const expected = new Set<string>();
  for (const row of rows) {
    const name = imagePath(row.sha256, row.extension);
    expected.add(name).add(labelPath(row.sha256));
    yield* problemsOfImage(path.join(storage.images, name), row, deep);
    // What a pull has stored and no commit has shown yet may still lack its file: the commit writes it.
    const isCommitted = row.visible_annotation_id !== null && row.visible_annotation_id === row.committed_annotation_id;
    if (isCommitted) yield* problemsOfLabelFile(path.join(storage.images, labelPath(row.sha256)), row.sha256, row.label_md5!);
  }
  for (const name of there)
    if (!expected.has(name))
      yield { rule: "row-of-all-bytes", subject: name, what: `${path.join(storage.images, name)} is no picture of the registry, and no label file of one` };
}

async function* problemsOfImage(file: string, { sha256, bytes }: { sha256: string; bytes: number }, deep: boolean): AsyncGenerator<Problem> {
  const size = await sizeOf(file);
  if (size === undefined) yield { rule: "bytes-of-every-row", subject: sha256, what: `${file} is not there` };
  else if (size !== bytes) yield { rule: "bytes-are-whole", subject: sha256, what: `${file} has ${size} bytes, and its row says ${bytes}` };
  else if (deep && (await hashOf(file, "sha256")) !== sha256)
    yield { rule: "bytes-are-whole", subject: sha256, what: `${file} holds other bytes than its name says` };
}

async function* problemsOfLabelFile(file: string, sha256: string, md5: string): AsyncGenerator<Problem> {
  const text = await readFile(file).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return undefined;
    throw error;
  });
  if (text === undefined) yield { rule: "label-files-match", subject: sha256, what: `${file} is not there` };
  else if (createHash("md5").update(text).digest("hex") !== md5)
    yield { rule: "label-files-match", subject: sha256, what: `${file} is not what the registry's boxes make` };
}

async function namesIn(folder: string): Promise<string[]> {
  return readdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return [];
    throw error;
  });
}

/** Files beneath a folder, each as `prefix/…`; what a crash has left half-written, under a hidden temporary name, is left out. */
async function filesBeneath(folder: string, prefix: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return [];
    if (error.code === "ENOTDIR") return undefined;
    throw error;
  });
  if (!entries) return [prefix];
  return entries
    .filter((entry) => !entry.isDirectory() && !(entry.name.startsWith(".") && entry.name.endsWith(".tmp")))
    .map((entry) => path.join(prefix, path.relative(folder, path.join(entry.parentPath, entry.name))));
}

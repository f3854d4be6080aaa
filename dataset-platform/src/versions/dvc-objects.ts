import { createHash } from "node:crypto";
import { access, chmod, copyFile, link, mkdir, readFile, rename, rm, stat } from "node:fs/promises";
import path from "node:path";
import { atomicWrite } from "../store/atomic-write.ts";

/** A file of a DVC-tracked folder. */
export interface DvcEntry {
  readonly md5: string;
  /** Relative to the folder, with "/". */
  readonly relpath: string;
}

/** Where an object stands in a DVC 3 cache or remote. */
export const objectPath = (cache: string, oid: string): string => path.join(cache, "files/md5", oid.slice(0, 2), oid.slice(2));

/** Python's json.dumps of a string: everything outside space … ~ escaped as \uXXXX. */
function pythonJson(text: string): string {
  return JSON.stringify(text).replace(/[\u007f-\uffff]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

const byCodePoint = (a: string, b: string): number => Buffer.compare(Buffer.from(a), Buffer.from(b));

/** The `.dir` object of a folder, byte for byte as DVC writes it, and its id. UTF-8's byte order is code-point order. */
export function dirObject(entries: readonly DvcEntry[]): { oid: string; text: string } {
  const sorted = entries.toSorted((a, b) => byCodePoint(a.relpath, b.relpath));
  const text = `[${sorted.map(({ md5, relpath }) => `{"md5": ${pythonJson(md5)}, "relpath": ${pythonJson(relpath)}}`).join(", ")}]`;
  return { oid: `${createHash("md5").update(text).digest("hex")}.dir`, text };
}

/** The pointer file that Git keeps. */
export function pointerText(folder: string, oid: string, bytes: number, files: number): string {
  return `outs:\n- md5: ${oid}\n  size: ${bytes}\n  nfiles: ${files}\n  hash: md5\n  path: ${folder}\n`;
}

/**
 * Puts a file into the cache: hard-linked where the volume allows. DVC trusts an object that is read-only without reading
 * it, so it becomes so only when it is whole.
 */
export async function addFileObject(cache: string, md5: string, file: string): Promise<void> {
  const target = objectPath(cache, md5);
  if (await isThere(target)) return;
  await mkdir(path.dirname(target), { recursive: true });
  const temporary = `${target}.${process.pid}.tmp`;
  await rm(temporary, { force: true });
  try {
    await link(file, temporary);
  } catch {
    await copyFile(file, temporary);
  }
  await chmod(temporary, 0o444);
  await rename(temporary, target);
}

export async function addTextObject(cache: string, oid: string, text: string): Promise<void> {
  const target = objectPath(cache, oid);
  if (!(await isThere(target))) await atomicWrite(target, text, 0o444);
}

/** The entries of a `.dir` object in the cache. */
export async function readDirObject(cache: string, oid: string): Promise<DvcEntry[]> {
  return JSON.parse(await readFile(objectPath(cache, oid), "utf8")) as DvcEntry[];
}

export async function isThere(file: string): Promise<boolean> {
  return access(file).then(
    () => true,
    () => false,
  );
}

export async function md5OfFile(file: string): Promise<{ md5: string; bytes: number }> {
  const data = await readFile(file);
  return { md5: createHash("md5").update(data).digest("hex"), bytes: (await stat(file)).size };
}

import { parse } from "yaml";
import { isDirOid } from "./dvc-objects.ts";

/**
 * The file that Git keeps: one DVC pointer file with an out for each folder of images/ that holds labelled pictures, so that
 * a batch changes a few small folders. One file, not 256, so that it is replaced as a whole.
 */
export const pointerFile = "images.dvc";

/** A folder of a version. */
export interface Folder {
  /** "images/ab"; in versions of earlier releases one "images". */
  readonly path: string;
  readonly oid: string;
  /** Of all its files together. */
  readonly bytes: number;
  readonly files: number;
}

/** The names that folders of images/ can have: two hex digits. */
export const prefixes: readonly string[] = Array.from({ length: 256 }, (_, i) => i.toString(16).padStart(2, "0"));

export const folderOf = (prefix: string): string => `images/${prefix}`;

/** The text of `images.dvc`; undefined where no folder is left, since DVC has no pointer to nothing. */
export function formatPointers(folders: readonly Folder[]): string | undefined {
  if (folders.length === 0) return undefined;
  const outs = folders
    .toSorted((a, b) => (a.path < b.path ? -1 : 1))
    .map(({ path, oid, bytes, files }) => `- md5: ${oid}\n  size: ${bytes}\n  nfiles: ${files}\n  hash: md5\n  path: ${path}\n`);
  return `outs:\n${outs.join("")}`;
}

/** The folders that an `images.dvc` names; undefined where it is no such file. */
export function tryParsePointers(text: string): Folder[] | undefined {
  const read: unknown = parse(text, { maxAliasCount: 0 });
  const outs: unknown = typeof read === "object" && read !== null && "outs" in read ? read.outs : undefined;
  if (!Array.isArray(outs)) return undefined;
  const folders: Folder[] = [];
  for (const out of outs as Record<string, unknown>[]) {
    const { md5, path, size, nfiles } = out;
    if (!isDirOid(md5) || typeof path !== "string" || !/^images(\/[0-9a-f]{2})?$/.test(path)) return undefined;
    folders.push({ path, oid: md5, bytes: Number(size), files: Number(nfiles) });
  }
  return folders;
}

/** Folders of `text` that `before` does not have just so; all of them where there is no `before`. */
export function changedFolders(text: string | undefined, before: string | undefined): Folder[] {
  const known = new Set((before === undefined ? [] : (tryParsePointers(before) ?? [])).map(({ path, oid }) => `${path} ${oid}`));
  return (text === undefined ? [] : (tryParsePointers(text) ?? [])).filter(({ path, oid }) => !known.has(`${path} ${oid}`));
}

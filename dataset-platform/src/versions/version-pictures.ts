import path from "node:path";
import type { Db } from "../registry/database.ts";
import { picturesOfVersion, type VersionPicture } from "../registry/versions.ts";
import { type DvcEntry, tryReadDirObject } from "./dvc-objects.ts";
import { MissingObjects } from "./errors.ts";
import type { Folder } from "./pointers.ts";

/** A dataset version: a commit, and the folders of its pictures. */
export interface DatasetVersion {
  readonly commit: string;
  /** In the order of their numbers. */
  readonly classes: readonly string[];
  readonly folders: readonly Folder[];
  /** Its number in the registry; undefined for a commit that the registry did not make. */
  readonly id: number | undefined;
}

/** A labelled picture of a version. */
export interface Picture {
  readonly sha256: string;
  /** Its file's name. */
  readonly base: string;
  readonly oid: string;
  readonly labelOid: string;
  /** Undefined for a picture that the registry does not know. */
  readonly bytes: number | undefined;
  readonly groupId: string;
  /** Numbers of the classes that people were asked to mark; null where that is not known. */
  readonly asked: readonly number[] | null;
}

/** Some folders of a version, all their files, and what the registry knows of them. */
export interface Batch {
  readonly folders: readonly Folder[];
  readonly entries: readonly DvcEntry[];
  readonly known: ReadonlyMap<string, VersionPicture>;
}

/** Files that are read at a time: memory does not grow with the version. Versions of earlier releases are one folder. */
const batchFiles = 10_000;

/** A version's files, some folders at a time, in order. Its `.dir` objects must be in the cache. */
export async function* batchesOf(cache: string, version: DatasetVersion, db: Db | undefined): AsyncGenerator<Batch> {
  for (let at = 0; at < version.folders.length;) {
    const folders: Folder[] = [];
    for (let files = 0; at < version.folders.length && (folders.length === 0 || files + version.folders[at]!.files <= batchFiles); at++) {
      files += version.folders[at]!.files;
      folders.push(version.folders[at]!);
    }
    const entries: DvcEntry[] = [];
    for (const folder of folders) for (const entry of await entriesOf(cache, folder)) entries.push(entry);
    yield { folders, entries, known: await knownIn(db, version, folders) };
  }
}

/** The labelled pictures of a batch, by SHA-256. */
export function picturesIn({ entries, known }: Batch): Picture[] {
  const labels = new Map(entries.filter(({ relpath }) => relpath.endsWith(".txt")).map(({ md5, relpath }) => [path.posix.basename(relpath, ".txt"), md5]));
  const pictures: Picture[] = [];
  for (const { md5, relpath } of entries) {
    const { name: sha256, base, ext } = path.posix.parse(relpath);
    const labelOid = labels.get(sha256);
    if (ext === ".txt" || labelOid === undefined) continue;
    const row = known.get(sha256);
    // An annotation that makes another label file is not the one that this version shows.
    const asked = row?.labelMd5 === labelOid ? row.asked : null;
    pictures.push({ sha256, base, oid: md5, labelOid, bytes: row?.bytes, groupId: row?.groupId ?? sha256, asked });
  }
  return pictures.toSorted((a, b) => (a.sha256 < b.sha256 ? -1 : 1));
}

async function entriesOf(cache: string, { path: folder, oid }: Folder): Promise<DvcEntry[]> {
  const entries = await tryReadDirObject(cache, oid);
  if (!entries) throw new MissingObjects(`the list of files of ${folder} (${oid}) is not in the cache, or damaged`);
  // Names come from whoever wrote the object: none may lead elsewhere.
  if (entries.some(({ relpath }) => !/^[\w./-]+$/.test(relpath) || relpath.split("/").includes("..")))
    throw new MissingObjects(`the list of files of ${folder} (${oid}) holds names that are not Airloom's`);
  return entries;
}

async function knownIn(db: Db | undefined, { id }: DatasetVersion, folders: readonly Folder[]): Promise<Map<string, VersionPicture>> {
  if (!db) return new Map();
  const names = folders.map((folder) => folder.path.slice("images/".length));
  const rows = await picturesOfVersion(db, id, names[0]!, names.at(-1)!);
  return new Map(rows.map((row) => [row.sha256, row]));
}

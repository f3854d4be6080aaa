import path from "node:path";
import type { Db } from "../registry/database.ts";
import { versionOfCommit } from "../registry/versions.ts";
import { hashOf, isThere, sizeOf } from "../store/file-facts.ts";
import { objectPath, tryReadDirObject } from "./dvc-objects.ts";
import { EmptyVersion, MissingObjects, NoSuchVersion } from "./errors.ts";
import type { Git } from "./git.ts";
import { pointerFile, tryParsePointers } from "./pointers.ts";
import { needsOf, type Remote } from "./remote.ts";
import { each, fetchObjects, named, type TransferPlace, type WantedObject } from "./transfer.ts";
import { type Batch, batchesOf, type DatasetVersion } from "./version-pictures.ts";

export interface ReadPlace extends TransferPlace {
  readonly git: Git;
  readonly remote: Remote;
}

export interface ReadOptions {
  /** Tells the sizes of pictures, their groups, and the classes that were asked. */
  readonly db: Db | undefined;
  /** Whether each object is read and held against its hash. */
  readonly verify: boolean;
}

/**
 * The version that `name` (HEAD, a branch, tag or SHA) stands for, with all its objects in the cache: what is missing, or has
 * not the size that it must have, is fetched from the remote. The work tree stays as it is.
 */
export async function readVersion(place: ReadPlace, name: string, { db, verify }: ReadOptions): Promise<DatasetVersion> {
  const { git } = place;
  const commit = (await isThere(path.join(place.root, ".git"))) ? await git.tryResolveCommit(name) : undefined;
  if (!commit) throw new NoSuchVersion(`there is no dataset version "${name}": give HEAD, or a ${await knownNames(place)}`);
  const text = await git.tryShow(commit, pointerFile);
  const folders = text === undefined ? undefined : tryParsePointers(text);
  if (!folders || folders.length === 0)
    throw new EmptyVersion(
      `commit ${commit.slice(0, 12)} ("${name}") holds no dataset: its ${pointerFile} is missing, names no pictures, or is no DVC pointer`,
    );
  const classes = ((await git.tryShow(commit, "classes.txt")) ?? "").split("\n").filter((line) => line !== "");
  const version = { commit, classes, folders, id: db && (await versionOfCommit(db, commit))?.id };
  await fetchWhatLacks(place, version, { db, verify });
  return version;
}

async function knownNames({ git, root }: ReadPlace): Promise<string> {
  const isRepository = await isThere(path.join(root, ".git"));
  const refs = isRepository
    ? (await git.run(["for-each-ref", "--count=20", "--format=%(refname:short)", "refs/heads", "refs/tags"])).split("\n").filter(Boolean)
    : [];
  return refs.length > 0
    ? `branch, tag or commit (branches and tags: ${refs.join(", ")})`
    : "branch, tag or commit (nothing was committed yet: run labeling_pipeline first)";
}

async function fetchWhatLacks(place: ReadPlace, version: DatasetVersion, { db, verify }: ReadOptions): Promise<void> {
  const lists: WantedObject[] = [];
  await each(version.folders, async ({ oid }) => {
    if (!(await tryReadDirObject(place.cache, oid))) lists.push({ oid });
  });
  await fetchAll(place, version, lists);
  for await (const batch of batchesOf(place.cache, version, db)) await fetchAll(place, version, await lackingIn(place.cache, batch, verify));
}

/** Objects of a batch that are missing or damaged. A size that nobody knows is held against the sum in `images.dvc`. */
async function lackingIn(cache: string, batch: Batch, verify: boolean): Promise<WantedObject[]> {
  const lacking = new Map<string, WantedObject>();
  let sum = 0;
  await each(batch.entries, async ({ md5: oid, relpath }) => {
    const size = await sizeOf(objectPath(cache, oid));
    sum += size ?? 0;
    const bytes = relpath.endsWith(".txt") ? undefined : batch.known.get(path.posix.parse(relpath).name)?.bytes;
    if (size === undefined || (bytes !== undefined && size !== bytes)) lacking.set(oid, { oid, bytes });
  });
  const told = batch.folders.reduce((total, { bytes }) => total + bytes, 0);
  if (verify || (lacking.size === 0 && sum !== told))
    await each(batch.entries, async ({ md5: oid }) => {
      if (!lacking.has(oid) && (await hashOf(objectPath(cache, oid), "md5")) !== oid) lacking.set(oid, { oid });
    });
  return [...lacking.values()];
}

async function fetchAll(place: ReadPlace, { commit }: DatasetVersion, wanted: readonly WantedObject[]): Promise<void> {
  if (wanted.length === 0) return;
  const missing = await fetchObjects(place, place.remote, wanted);
  if (missing.length === 0) return;
  throw new MissingObjects(
    `of dataset version ${commit.slice(0, 12)}, ${named(missing)} are missing or damaged in the cache ${place.cache}, and not whole on the remote ${place.remote.name} either. Is DVC_REMOTE_URL the remote that it was pushed to?${needsOf(place.remote)}`,
  );
}

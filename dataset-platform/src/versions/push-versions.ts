import path from "node:path";
import type { Db } from "../registry/database.ts";
import { isKnownRemote, markPushed, objectsOfVersion, unpushedVersions } from "../registry/versions.ts";
import { isThere } from "../store/file-facts.ts";
import { tryReadDirObject } from "./dvc-objects.ts";
import { RemoteFailed } from "./errors.ts";
import type { Git } from "./git.ts";
import { changedFolders, pointerFile } from "./pointers.ts";
import type { Remote } from "./remote.ts";
import type { News } from "./repository-lock.ts";
import { chunkSize, named, pushObjects, type TransferPlace, type WantedObject } from "./transfer.ts";
import { makeFolders } from "../store/make-folder.ts";

export interface PushPlace extends TransferPlace {
  readonly git: Git;
  readonly remote: Remote;
  readonly news: News;
}

/**
 * Puts on the remote what versions brought that are not known to be whole there; nothing else is looked at. A remote that no
 * version was pushed to gets all of them, and so does a folder that was emptied.
 */
export async function pushVersions(place: PushPlace, db: Db): Promise<void> {
  const { remote, news } = place;
  const isNew = await findIsNew(db, remote);
  const versions = await unpushedVersions(db, isNew ? "" : remote.name);
  if (versions.length === 0) return;
  if (isNew && versions.length > 1) news.info(`the remote ${remote.name} is new: all ${versions.length} dataset versions are pushed to it`);
  const missing = isNew ? await pushOlderCommits(place, new Set(versions.map(({ commit }) => commit))) : [];
  let objects: WantedObject[] = [];
  let complete: number[] = [];
  const push = async () => {
    const lacking = await pushObjects(place, remote, objects);
    missing.push(...lacking);
    if (lacking.length === 0) await markPushed(db, complete, remote.name);
    objects = [];
    complete = [];
  };
  for (const { id, commit, parent } of versions) {
    objects.push(...(await objectsOf(place, db, { id, commit, parent })));
    complete.push(id);
    if (objects.length >= chunkSize) await push();
  }
  await push();
  if (missing.length > 0)
    throw new RemoteFailed(
      `${named(missing)} of dataset versions could not be pushed to ${remote.name}: the cache ${place.cache} lacks them, or has them damaged. If the former remote has them, set DVC_REMOTE_URL to it once more and run dvc fetch --all-commits in ${place.root}; \`npx airloom data rebuild\` brings back those of the newest version`,
    );
}

/** Whether nothing was pushed to the remote yet. A folder outside the storage that was, and is gone, is a volume not mounted. */
async function findIsNew(db: Db, remote: Remote): Promise<boolean> {
  const isKnown = await isKnownRemote(db, remote.name);
  if (remote.kind === "dvc") return !isKnown;
  if (isKnown && !remote.isInStorage && !(await isThere(remote.folder)))
    throw new RemoteFailed(
      `the remote ${remote.folder} is not there, and versions were pushed to it: is its volume mounted? The commit is made, and the next one pushes both. To begin anew in an empty folder, make it: mkdir -p '${remote.folder}'`,
    );
  await makeFolders(remote.folder).catch((cause: unknown) => {
    throw new RemoteFailed(`the remote ${remote.folder} cannot be made: ${(cause as Error).message}`, { cause });
  });
  return !isKnown || !(await isThere(path.join(remote.folder, "files/md5")));
}

async function objectsOf({ git }: PushPlace, db: Db, { id, commit, parent }: { id: number; commit: string; parent: string | null }): Promise<WantedObject[]> {
  const pictures = await objectsOfVersion(db, id);
  const before = parent === null ? undefined : await git.tryShow(parent, pointerFile);
  const lists = changedFolders(await git.tryShow(commit, pointerFile), before);
  return [
    ...pictures.flatMap(({ md5, bytes, labelMd5, labelBytes }) => [
      { oid: md5, bytes },
      { oid: labelMd5, bytes: labelBytes },
    ]),
    ...lists.map(({ oid }) => ({ oid })),
  ];
}

/** Pushes what commits hold that the registry did not make, of an earlier Airloom say; returns objects that the cache lacks. */
async function pushOlderCommits(place: PushPlace, known: ReadonlySet<string>): Promise<string[]> {
  const { git, cache, remote } = place;
  const missing: string[] = [];
  const commits = (await git.run(["rev-list", "--reverse", "HEAD", "--", pointerFile])).split("\n").filter((commit) => commit !== "" && !known.has(commit));
  const done = new Set<string>();
  for (const commit of commits)
    for (const { oid } of changedFolders(await git.tryShow(commit, pointerFile), undefined)) {
      if (done.has(oid)) continue;
      done.add(oid);
      const entries = (await tryReadDirObject(cache, oid)) ?? [];
      missing.push(...(await pushObjects(place, remote, [...entries.map(({ md5 }) => ({ oid: md5 })), { oid }])));
    }
  return missing;
}

import type { Db } from "../registry/database.ts";
import type { Problem } from "../verify/problem.ts";
import { hashOf, sizeOf } from "../store/file-facts.ts";
import { objectPath } from "./dvc-objects.ts";
import { RemoteFailed } from "./errors.ts";
import type { Git } from "./git.ts";
import { pointerFile, tryParsePointers } from "./pointers.ts";
import type { Remote } from "./remote.ts";
import { each, sizesOnRemote, type TransferPlace } from "./transfer.ts";
import { objectsOfFolder, type VersionObject } from "./version-objects.ts";

export interface VerifyPlace extends TransferPlace {
  readonly git: Git;
  readonly remote: Remote;
}

export interface VerifyOptions {
  /** All versions, and every byte of their objects; otherwise the newest one, and sizes. */
  readonly deep: boolean;
}

/** How an object is in a place. */
type Condition = "whole" | "damaged" | "missing" | "unknown";

/** An object that is not whole everywhere where it should be. */
export interface ObjectFault extends VersionObject {
  readonly cache: Condition;
  readonly remote: Condition;
}

interface Version {
  readonly id: number;
  readonly commit: string;
  readonly isPushed: boolean;
}

/** What is wrong with the dataset versions: their commits, what these say, and the objects that they name. */
export async function* problemsOfVersions(place: VerifyPlace, db: Db, options: VerifyOptions): AsyncGenerator<Problem> {
  const versions = await writtenVersions(place, db);
  yield* problemsOfCommits(place.git, versions);
  for (const { version, folder, says } of await foldersToLook(place, versions, options)) {
    const { list } = await objectsOfFolder(db, version.id, { path: folder });
    if (list !== says) yield { rule: "versions-match-rows", subject: version.commit, what: `does not hold in ${folder} what the registry's rows make of it` };
  }
  for await (const fault of objectFaults(place, db, options)) yield told(fault, place.remote);
}

/** Objects of versions that are damaged or missing, each once. */
export async function* objectFaults(place: VerifyPlace, db: Db, options: VerifyOptions): AsyncGenerator<ObjectFault> {
  const seen = new Set<string>();
  for (const { version, folder } of await foldersToLook(place, await writtenVersions(place, db), options)) {
    const { objects } = await objectsOfFolder(db, version.id, { path: folder });
    for (const fault of await faultsOf(place, objects, { ...options, isPushed: version.isPushed })) {
      if (!seen.has(fault.oid)) yield fault;
      seen.add(fault.oid);
    }
  }
}

async function writtenVersions({ remote }: VerifyPlace, db: Db): Promise<Version[]> {
  const rows = await db.selectFrom("versions").select(["id", "commit", "pushed_to"]).where("state", "=", "written").orderBy("id").execute();
  return rows.map(({ id, commit, pushed_to }) => ({ id, commit, isPushed: pushed_to === remote.name }));
}

/** Commits that no branch or tag holds: Git removes such in time. */
async function* problemsOfCommits(git: Git, versions: readonly Version[]): AsyncGenerator<Problem> {
  if (versions.length === 0) return;
  const held = new Set((await git.tryListCommits()).split("\n"));
  for (const { commit } of versions)
    if (!held.has(commit)) yield { rule: "commits-are-kept", subject: commit, what: `is a dataset version, and no branch or tag of ${git.folder} holds it` };
}

/** The folders of versions, each in the first version that has it so. */
async function foldersToLook({ git }: VerifyPlace, versions: readonly Version[], { deep }: VerifyOptions) {
  const found: { version: Version; folder: string; says: string }[] = [];
  const seen = new Set<string>();
  for (const version of deep ? versions : versions.slice(-1)) {
    const exists = await git.tryResolveCommit(version.commit);
    const text = exists ? await git.tryShow(version.commit, pointerFile) : undefined;
    for (const { path: folder, oid } of (text === undefined ? undefined : tryParsePointers(text)) ?? []) {
      if (!seen.has(oid)) found.push({ version, folder, says: oid });
      seen.add(oid);
    }
  }
  return found;
}

async function faultsOf(
  place: VerifyPlace,
  objects: readonly VersionObject[],
  { deep, isPushed }: VerifyOptions & { isPushed: boolean },
): Promise<ObjectFault[]> {
  const cache = new Map<string, Condition>();
  await each(objects, async (object) => void cache.set(object.oid, await conditionOf(objectPath(place.cache, object.oid), object, deep)));
  // What the cache lacks is to be on the remote, and so is all that was pushed.
  const asked = objects.filter(({ oid }) => (deep && isPushed) || cache.get(oid) !== "whole");
  const remote = await conditionsOnRemote(place, asked, deep);
  return asked
    .map((object) => ({ ...object, cache: cache.get(object.oid)!, remote: remote.get(object.oid)! }))
    .filter((fault) => fault.cache === "damaged" || fault.remote === "damaged" || (fault.remote !== "whole" && (isPushed || fault.cache === "missing")));
}

async function conditionOf(file: string, { oid, bytes }: VersionObject, deep: boolean): Promise<Condition> {
  const size = await sizeOf(file);
  if (size === undefined) return "missing";
  return size === bytes && (!deep || (await hashOf(file, "md5")) === oid.slice(0, 32)) ? "whole" : "damaged";
}

/** A remote that is no folder is asked for sizes alone. */
async function conditionsOnRemote(place: VerifyPlace, objects: readonly VersionObject[], deep: boolean): Promise<Map<string, Condition>> {
  const { remote } = place;
  const found = new Map<string, Condition>();
  if (remote.kind === "folder") {
    await each(objects, async (object) => void found.set(object.oid, await conditionOf(objectPath(remote.folder, object.oid), object, deep)));
    return found;
  }
  try {
    const sizes = await sizesOnRemote(place, remote, objects);
    for (const { oid, bytes } of objects) {
      const size = sizes.get(oid);
      found.set(oid, size === undefined ? "missing" : size === bytes ? "whole" : "damaged");
    }
  } catch (error) {
    if (!(error instanceof RemoteFailed)) throw error;
    for (const { oid } of objects) found.set(oid, "unknown");
  }
  return found;
}

const inWords: Record<Condition, string> = {
  whole: "whole",
  damaged: "damaged",
  missing: "missing",
  unknown: "not to be had (the remote does not answer)",
};

function told({ oid, name, cache, remote }: ObjectFault, { name: remoteName }: Remote): Problem {
  return { rule: "objects-are-whole", subject: oid, what: `(${name}) is ${inWords[cache]} in DVC's cache, and ${inWords[remote]} on the remote ${remoteName}` };
}

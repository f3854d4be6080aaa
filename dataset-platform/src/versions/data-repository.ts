import { randomUUID } from "node:crypto";
import { readdir, rename, rm } from "node:fs/promises";
import path from "node:path";
import type { Db } from "../registry/database.ts";
import type { Actor } from "../registry/events.ts";
import type { Registry } from "../registry/registry.ts";
import { atomicWrite } from "../store/atomic-write.ts";
import type { StorageLayout } from "../store/layout.ts";
import type { Problem } from "../verify/problem.ts";
import { hashOf, isThere, sizeOf } from "../store/file-facts.ts";
import { objectPath } from "./dvc-objects.ts";
import { RemoteFailed } from "./errors.ts";
import { Git } from "./git.ts";
import { type Mended, mendObjects } from "./mend-objects.ts";
import { pushVersions } from "./push-versions.ts";
import { readVersion } from "./read-version.ts";
import { configureRemote, firstConfig, remoteOf } from "./remote.ts";
import { type News, whileCommitting } from "./repository-lock.ts";
import { each, fetchObjects, type WantedObject } from "./transfer.ts";
import { problemsOfVersions, type VerifyOptions } from "./verify-versions.ts";
import type { DatasetVersion } from "./version-pictures.ts";
import { type WritePlace, writeVersion } from "./write-version.ts";
import { makeFolders } from "../store/make-folder.ts";

/** What the repository needs from its surroundings. */
export interface RepositoryOptions {
  readonly storage: StorageLayout;
  /** Any URL that DVC knows, or a folder; one within the storage folder moves with it. */
  readonly remoteUrl: string;
  /** The `dvc` program. */
  readonly dvc: string;
  /** Where it is said what is waited for, and what was out of the ordinary. */
  readonly news?: News;
}

const silent: News = { info: () => undefined, warn: () => undefined };

/** The Git and DVC repository that a storage folder is. Its commits hold its own paths only. */
export class DataRepository {
  readonly #place: WritePlace;

  constructor({ storage, remoteUrl, dvc, news = silent }: RepositoryOptions) {
    const { root } = storage;
    const siteCache = path.join(storage.private, "dvc-site");
    this.#place = { storage, root, dvc, siteCache, news, cache: path.join(root, ".dvc/cache"), git: new Git(root), remote: remoteOf(root, remoteUrl) };
  }

  /** Makes the repository on first use. A storage folder inside another repository gets one of its own all the same. */
  async ensure(): Promise<void> {
    const { root, git, storage } = this.#place;
    await makeFolders(path.join(root, ".dvc/tmp"));
    await makeFolders(storage.private);
    if (!(await isThere(path.join(root, ".git")))) await makeRepository(git);
    await writeOnce(path.join(root, ".gitignore"), "/images\n/.airloom\n/.remote\n");
    await writeOnce(path.join(root, ".dvcignore"), ".*.tmp\n");
    await writeOnce(path.join(root, ".dvc/.gitignore"), "/config.local\n/tmp\n/cache\n");
    await writeOnce(path.join(root, ".dvc/config"), firstConfig);
  }

  /**
   * Commits what the registry's rows make of the dataset, and puts on the remote what it does not have yet: the commit, or
   * undefined where nothing changed. A failed push leaves the commit in place; the next call pushes it.
   */
  async commit(message: string, registry: Registry, actor: Actor): Promise<string | undefined> {
    const place = this.#place;
    const commit = await whileCommitting(registry.db, place.news, async (lock) => {
      await this.ensure();
      await removeHalfWritten(place.root);
      await configureRemote(place, place.remote, place.storage.private, place.news);
      return writeVersion(place, registry.db, { message, actor, lock });
    });
    await this.push(registry).catch((cause: unknown) => {
      if (!(cause instanceof RemoteFailed)) throw cause;
      const made = commit === undefined ? "" : `commit ${commit} is made, and its objects are in this machine's cache only; the next run pushes them. `;
      throw new RemoteFailed(`${made}${cause.message}`, { cause });
    });
    return commit;
  }

  /** Puts on the remote what it does not have of all versions. */
  async push(registry: Registry): Promise<void> {
    await pushVersions(this.#place, registry.db);
  }

  /** The commit of the branch that is checked out; undefined where nothing was committed yet. */
  async tryHead(): Promise<string | undefined> {
    return (await isThere(path.join(this.#place.root, ".git"))) ? this.#place.git.tryResolveCommit("HEAD") : undefined;
  }

  /**
   * The version that `name` (HEAD, a branch, tag or SHA) stands for, with all its objects in the cache. `verify` reads each
   * object and holds it against its hash.
   */
  async findVersion(name: string, { registry, verify = false }: { registry?: Registry; verify?: boolean } = {}): Promise<DatasetVersion> {
    const place = this.#place;
    await this.#prepareRemote();
    return readVersion(place, name, { db: registry?.db, verify });
  }

  /**
   * Brings objects into the cache: those that it lacks, or has in another size or with other bytes, from the remote. Returns
   * those that are nowhere whole.
   */
  async bring(wanted: readonly WantedObject[]): Promise<string[]> {
    const place = this.#place;
    await this.ensure();
    if (place.remote.kind === "dvc") await configureRemote(place, place.remote, place.storage.private, place.news);
    const lacking: WantedObject[] = [];
    await each(wanted, async (object) => {
      const file = objectPath(place.cache, object.oid);
      if ((await sizeOf(file)) === undefined || (await hashOf(file, "md5")) !== object.oid) lacking.push(object);
    });
    return lacking.length === 0 ? [] : fetchObjects(place, place.remote, lacking);
  }

  /** What is wrong with the versions: their commits, what these say, and their objects. */
  async *problems(db: Db, options: VerifyOptions): AsyncGenerator<Problem> {
    await this.#prepareRemote();
    yield* problemsOfVersions(this.#place, db, options);
  }

  /** Makes the versions' objects whole that are not. */
  async mend(db: Db, options: VerifyOptions): Promise<Mended> {
    await this.#prepareRemote();
    return mendObjects(this.#place, this.#place.storage, db, options);
  }

  /** A clone, or a storage folder whose settings have changed since its last commit. */
  async #prepareRemote(): Promise<void> {
    const { root, remote, storage, news } = this.#place;
    if (remote.kind === "dvc" && (await isThere(path.join(root, ".dvc/config")))) await configureRemote(this.#place, remote, storage.private, news);
  }

  /** Where objects are on this machine. */
  get cache(): string {
    return this.#place.cache;
  }

  /** Where the bytes of an object are: read-only, and by content, so the name carries no extension. */
  objectFile(oid: string): string {
    return objectPath(this.#place.cache, oid);
  }
}

/** Makes the folder a Git repository, whole or not at all: one that is half made is neither Git's nor made anew. */
async function makeRepository(git: Git): Promise<void> {
  // Where Git and DVC do not look.
  const made = path.join(git.folder, ".dvc/tmp", `git-${randomUUID()}`);
  try {
    await git.run(["init", "--quiet", "--initial-branch=main", made]);
    await rename(path.join(made, ".git"), path.join(git.folder, ".git"));
  } catch (error) {
    // Another process was faster.
    if (!["ENOTEMPTY", "EEXIST"].includes((error as NodeJS.ErrnoException).code ?? "")) throw error;
  } finally {
    await rm(made, { recursive: true, force: true });
  }
}

/** Removes what a killed commit had begun to write in the folder itself, where Git would show it as a new file. Needs the commit lock. */
async function removeHalfWritten(root: string): Promise<void> {
  for (const name of await readdir(root)) if (/^\.[0-9a-f-]{36}\.tmp$/.test(name)) await rm(path.join(root, name), { force: true });
}

async function writeOnce(file: string, text: string): Promise<void> {
  if (!(await isThere(file))) await atomicWrite(file, text);
}

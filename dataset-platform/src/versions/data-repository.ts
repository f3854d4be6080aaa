import { spawn } from "node:child_process";
import { mkdir, open, readdir, stat } from "node:fs/promises";
import path from "node:path";
import { execa, ExecaError } from "execa";
import { parse } from "yaml";
import type { Registry } from "../registry/registry.ts";
import { atomicWrite } from "../store/atomic-write.ts";
import type { StorageLayout } from "../store/layout.ts";
import { addFileObject, addTextObject, dirObject, type DvcEntry, isThere, md5OfFile, objectPath, pointerText, readDirObject } from "./dvc-objects.ts";
import { Git } from "./git.ts";

/** What the repository needs from its surroundings. */
export interface RepositoryOptions {
  readonly storage: StorageLayout;
  /** Any URL that DVC knows, or a folder. */
  readonly remoteUrl: string;
  /** The `dvc` program. */
  readonly dvc: string;
}

/** A dataset version: a commit, and the files of its images folder. */
export interface DatasetVersion {
  readonly commit: string;
  readonly classes: readonly string[];
  readonly entries: readonly DvcEntry[];
}

const pointer = "images.dvc";
const owned = [pointer, "classes.txt", ".gitignore", ".dvcignore", ".dvc/.gitignore", ".dvc/config"];
const lockWaitSeconds = 120;

/** The Git and DVC repository that a storage folder is. Its commits hold its own paths only. */
export class DataRepository {
  readonly #options: RepositoryOptions;
  readonly #git: Git;
  readonly #cache: string;

  constructor(options: RepositoryOptions) {
    this.#options = options;
    this.#git = new Git(options.storage.root);
    this.#cache = path.join(options.storage.root, ".dvc/cache");
  }

  /** Makes the repository on first use. A storage folder inside another repository gets one of its own all the same. */
  async ensure(): Promise<void> {
    const { storage, remoteUrl } = this.#options;
    await mkdir(storage.images, { recursive: true });
    if (!(await isThere(path.join(storage.root, ".git")))) await this.#git.run(["init", "--quiet", "--initial-branch=main"]);
    await writeOnce(path.join(storage.root, ".gitignore"), "/images\n/.airloom\n/.remote\n");
    await writeOnce(path.join(storage.root, ".dvcignore"), ".*.tmp\n");
    await writeOnce(path.join(storage.root, ".dvc/.gitignore"), "/config.local\n/tmp\n/cache\n");
    const config = `[core]\n    remote = storage\n    analytics = false\n[cache]\n    type = "hardlink,copy"\n['remote "storage"']\n    url = ${remoteUrl}\n`;
    await writeOnce(path.join(storage.root, ".dvc/config"), config);
    await mkdir(path.join(storage.root, ".dvc/tmp"), { recursive: true });
  }

  /**
   * Commits the images folder as it is and pushes its objects to the remote: the commit, or undefined where nothing
   * changed. Safe to repeat after a crash: objects first, then the pointer, then the commit.
   */
  async commit(message: string, registry: Registry): Promise<string | undefined> {
    await this.ensure();
    const release = await this.#lock();
    let commit: string | undefined;
    try {
      const { entries, bytes } = await this.#addImages(registry);
      const { oid, text } = dirObject(entries);
      await addTextObject(this.#cache, oid, text);
      const { storage } = this.#options;
      await atomicWrite(path.join(storage.root, pointer), pointerText("images", oid, bytes, entries.length));
      if (!(await isThere(storage.classes))) await atomicWrite(storage.classes, "");
      commit = await this.#git.commitPaths(owned, message);
    } finally {
      // `dvc` takes the same lock.
      await release();
    }
    await this.#dvc(["push", "--quiet"]);
    return commit;
  }

  /** The version that `name` (HEAD, a branch, tag or SHA) stands for; throws an error that lists what there is. */
  async findVersion(name: string): Promise<DatasetVersion> {
    const commit = (await isThere(path.join(this.#options.storage.root, ".git"))) ? await this.#git.tryResolveCommit(name) : undefined;
    if (!commit) throw new Error(`there is no dataset version "${name}": give HEAD, or a ${await this.#knownNames()}`);
    const text = await this.#git.tryShow(commit, pointer);
    const oid = text === undefined ? undefined : (parse(text) as { outs?: { md5?: string }[] }).outs?.[0]?.md5;
    if (!oid || !/^[0-9a-f]{32}\.dir$/.test(oid))
      throw new Error(`commit ${commit.slice(0, 12)} ("${name}") holds no dataset: ${pointer} is missing or is no DVC pointer`);
    await this.#fetchMissing(oid);
    const classes = ((await this.#git.tryShow(commit, "classes.txt")) ?? "").split("\n").filter((line) => line !== "");
    return { commit, classes, entries: await readDirObject(this.#cache, oid) };
  }

  /** Where the bytes of a version's file are: read-only, and by content, so the name carries no extension. */
  objectFile(entry: DvcEntry): string {
    return objectPath(this.#cache, entry.md5);
  }

  async #knownNames(): Promise<string> {
    const refs =
      (await this.#git.tryRun(["for-each-ref", "--count=20", "--format=%(refname:short)", "refs/heads", "refs/tags"]))?.split("\n").filter(Boolean) ?? [];
    return refs.length > 0
      ? `branch, tag or commit (branches and tags: ${refs.join(", ")})`
      : "branch, tag or commit (nothing was committed yet: run labeling_pipeline first)";
  }

  /** Brings objects of a version that this cache lacks from the remote; the work tree stays as it is. */
  async #fetchMissing(oid: string): Promise<void> {
    const complete = async () =>
      (await isThere(objectPath(this.#cache, oid))) &&
      (await Promise.all((await readDirObject(this.#cache, oid)).map((entry) => isThere(objectPath(this.#cache, entry.md5))))).every(Boolean);
    if (await complete()) return;
    await this.#dvc(["fetch", "--quiet", "--all-commits"]);
    if (!(await complete())) throw new Error(`objects of dataset ${oid} are neither in the cache nor on the remote ${this.#options.remoteUrl}`);
  }

  async #addImages(registry: Registry): Promise<{ entries: DvcEntry[]; bytes: number }> {
    const { images } = this.#options.storage;
    const known = new Map((await registry.allImages()).map((row) => [row.sha256, row]));
    const entries: DvcEntry[] = [];
    let total = 0;
    for (const relpath of await filesBeneath(images)) {
      const file = path.join(images, relpath);
      const [sha256 = "", extension] = path.basename(relpath).split(".");
      const row = known.get(sha256);
      // An image's name is its hash and its bytes never change: only annotations have to be read.
      const same = row && row.extension === extension && (await stat(file)).size === row.bytes;
      const { md5, bytes } = same ? row : await md5OfFile(file);
      await addFileObject(this.#cache, md5, file);
      entries.push({ md5, relpath });
      total += bytes;
    }
    return { entries, bytes: total };
  }

  async #dvc(args: readonly string[]): Promise<void> {
    const { storage, dvc } = this.#options;
    const env = { DVC_SITE_CACHE_DIR: path.join(storage.private, "dvc-site"), DVC_NO_ANALYTICS: "1" };
    try {
      await execa(dvc, [...args], { cwd: storage.root, env });
    } catch (cause) {
      const said = cause instanceof ExecaError ? cause.stderr || cause.shortMessage : String(cause);
      throw new Error(`dvc ${args[0]} failed in ${storage.root}: ${said.trim().slice(-2000)}`, { cause });
    }
  }

  /** Takes DVC's own repository lock (flock on .dvc/tmp/lock), so that no dvc command works on half a change. */
  async #lock(): Promise<() => Promise<void>> {
    const handle = await open(path.join(this.#options.storage.root, ".dvc/tmp/lock"), "a");
    const code = await new Promise<number | null>((resolve, reject) => {
      // The child locks the open file that it shares with us; the lock lives as long as our handle.
      const child = spawn("flock", ["--exclusive", "--wait", String(lockWaitSeconds), "3"], { stdio: ["ignore", "ignore", "ignore", handle.fd] });
      child.on("error", reject);
      child.on("close", resolve);
    });
    if (code !== 0) {
      await handle.close();
      throw new Error(`another program has held the lock of ${this.#options.storage.root} for ${lockWaitSeconds} s: see .dvc/tmp/lock`);
    }
    return () => handle.close();
  }
}

async function writeOnce(file: string, text: string): Promise<void> {
  if (!(await isThere(file))) await atomicWrite(file, text);
}

/** Files beneath a folder, relative to it, with "/"; temporary ones left out. */
async function filesBeneath(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile() && !entry.name.startsWith("."))
    .map((entry) => path.relative(folder, path.join(entry.parentPath, entry.name)).replaceAll(path.sep, "/"));
}

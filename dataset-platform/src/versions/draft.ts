import { readFile } from "node:fs/promises";
import path from "node:path";
import { allClasses } from "../registry/classes.ts";
import type { Db } from "../registry/database.ts";
import { changedPrefixes, type Labelled, labelledIn, uncommittedChanges, type VersionChange } from "../registry/versions.ts";
import { atomicWrite } from "../store/atomic-write.ts";
import { labelTexts, removeLabel, writeLabels } from "../store/label-files.ts";
import { imagePath, labelPath, type StorageLayout } from "../store/layout.ts";
import { sizeOf } from "../store/file-facts.ts";
import { type DvcEntry, dirObject, NotTheObject, objectPath, ObjectWriter } from "./dvc-objects.ts";
import { firstTen, MissingFiles } from "./errors.ts";
import { changedFolders, type Folder, folderOf, formatPointers, pointerFile, prefixes, tryParsePointers } from "./pointers.ts";
import { each } from "./transfer.ts";

/** The next version: what it changes, and the files that its commit holds. */
export interface Draft {
  readonly changes: readonly VersionChange[];
  /** Text of `images.dvc`; undefined where no labelled picture is left. */
  readonly pointers: string | undefined;
  readonly classes: string;
}

export interface DraftPlace {
  readonly storage: StorageLayout;
  readonly cache: string;
}

/**
 * Writes down what the registry's rows make of the next version, as of one moment: objects, `images.dvc`, `classes.txt` and
 * label files; undefined where nothing is to be done. `base` is `images.dvc` as the branch has it; folders that no change
 * touches stay as it says, unless `whole` asks for all of them. Nothing is written where a picture is not as its row says.
 */
export async function draftVersion(place: DraftPlace, db: Db, base: string | undefined, whole: boolean): Promise<Draft | undefined> {
  const { storage, cache } = place;
  // One moment for all that is read: a batch that is stored meanwhile is in the next version as a whole.
  const snapshot = db.transaction().setIsolationLevel("repeatable read").setAccessMode("read only");
  return snapshot.execute(async (trx) => {
    const changed = await changedPrefixes(trx);
    const unlike = whole ? prefixes : await prefixesUnlike(storage, base);
    const touched = [...new Set([...changed, ...unlike])].toSorted();
    if (touched.length === 0) return undefined;
    const again = new Set(unlike);
    await checkFiles(place, trx, touched, again);
    const writer = new ObjectWriter(cache);
    const folders = new Map((base === undefined || whole ? [] : tryParsePointers(base)!).map((folder) => [folder.path, folder]));
    const changes: VersionChange[] = [];
    const written: Labelled[] = [];
    for (const prefix of touched) {
      const labelled = await labelledIn(trx, prefix);
      const ofFolder = await uncommittedChanges(trx, prefix);
      const toWrite = again.has(prefix) ? labelled : only(labelled, ofFolder);
      await addImageObjects(place, writer, toWrite);
      for await (const texts of labelTexts(trx, toWrite)) await each(texts, async ({ picture, text }) => writer.addText(picture.labelMd5, text));
      const folder = await addFolder(writer, prefix, labelled);
      if (folder) folders.set(folder.path, folder);
      else folders.delete(folderOf(prefix));
      if (!again.has(prefix)) written.push(...toWrite);
      for (const { sha256, annotation } of ofFolder) changes.push({ sha256, annotation: annotation && { id: annotation.id } });
    }
    await writer.sync();
    const draft: Draft = { changes, pointers: formatPointers([...folders.values()]), classes: await classesText(trx) };
    await project(place, trx, draft, written, unlike);
    return draft;
  });
}

const only = (labelled: readonly Labelled[], changes: readonly VersionChange[]): Labelled[] => {
  const changed = new Set(changes.map(({ sha256 }) => sha256));
  return labelled.filter(({ sha256 }) => changed.has(sha256));
};

/** Folders in which the work tree's `images.dvc` is another than the branch's: a commit that failed, or an old version checked out. */
async function prefixesUnlike(storage: StorageLayout, base: string | undefined): Promise<string[]> {
  const here = await readFile(path.join(storage.root, pointerFile), "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return undefined;
    throw error;
  });
  if (base === undefined && here === undefined) return [];
  if (base === undefined || here === undefined || tryParsePointers(here) === undefined) return [...prefixes];
  const paths = [...changedFolders(base, here), ...changedFolders(here, base)].map((folder) => folder.path);
  return paths.includes("images") ? [...prefixes] : paths.map((folder) => folder.slice(-2));
}

/** Refuses where a picture of the version is not in the storage folder with its size; an unchanged one may be in the cache alone. */
async function checkFiles({ storage, cache }: DraftPlace, trx: Db, touched: readonly string[], again: ReadonlySet<string>): Promise<void> {
  const wrong: string[] = [];
  const check = async ({ sha256, extension, bytes }: Pick<Labelled, "sha256" | "extension" | "bytes">) => {
    const size = await sizeOf(path.join(storage.images, imagePath(sha256, extension)));
    if (size !== bytes) wrong.push(`images/${imagePath(sha256, extension)} ${size === undefined ? "is missing" : `has ${size} bytes, not ${bytes}`}`);
  };
  for (const prefix of touched) {
    const changed = (await uncommittedChanges(trx, prefix)).filter(({ annotation }) => annotation !== null);
    await each(changed, check);
    if (!again.has(prefix)) continue;
    const known = new Set(changed.map(({ sha256 }) => sha256));
    await each(await labelledIn(trx, prefix), async (picture) => {
      if (!known.has(picture.sha256) && (await sizeOf(objectPath(cache, picture.md5))) !== picture.bytes) await check(picture);
    });
  }
  if (wrong.length > 0) refuse(storage, wrong);
}

function refuse(storage: StorageLayout, wrong: readonly string[]): never {
  throw new MissingFiles(
    `no dataset version is made, since ${wrong.length} of its pictures are not in ${storage.root} as the registry knows them: ${firstTen(wrong)}. Is the folder's volume mounted? \`npx airloom data verify\` lists what is wrong, and \`npx airloom data rebuild\` brings pictures back from DVC's cache or remote.`,
  );
}

async function addImageObjects({ storage }: DraftPlace, writer: ObjectWriter, pictures: readonly Labelled[]): Promise<void> {
  const wrong: string[] = [];
  await each(pictures, async ({ sha256, extension, md5, bytes }) => {
    const file = imagePath(sha256, extension);
    await writer.addFile(md5, path.join(storage.images, file), { bytes }).catch((error: unknown) => {
      if (!(error instanceof NotTheObject)) throw error;
      wrong.push(`images/${file} is damaged: its MD5 is not ${md5}`);
    });
  });
  if (wrong.length > 0) refuse(storage, wrong);
}

async function addFolder(writer: ObjectWriter, prefix: string, labelled: readonly Labelled[]): Promise<Folder | undefined> {
  if (labelled.length === 0) return undefined;
  const entries = labelled.flatMap(({ sha256, extension, md5, labelMd5 }): DvcEntry[] => [
    { md5, relpath: imagePath(sha256, extension).slice(3) },
    { md5: labelMd5, relpath: labelPath(sha256).slice(3) },
  ]);
  const { oid, text } = dirObject(entries);
  await writer.addText(oid, text);
  return { path: folderOf(prefix), oid, bytes: labelled.reduce((sum, { bytes, labelBytes }) => sum + bytes + labelBytes, 0), files: entries.length };
}

/** One class name a line; the line is the class's number. */
async function classesText(trx: Db): Promise<string> {
  const classes = await allClasses(trx);
  if (classes.some(({ id }, i) => id !== i)) throw new Error("the numbers of the registry's classes have gaps: its database is damaged; bring back a dump");
  return classes.map(({ name }) => `${name}\n`).join("");
}

/** Brings the work tree in step: `images.dvc` first, so that what a crash leaves undone is seen by the next commit. */
async function project({ storage }: DraftPlace, trx: Db, draft: Draft, written: readonly Labelled[], unlike: readonly string[]): Promise<void> {
  if (draft.pointers !== undefined) await atomicWrite(path.join(storage.root, pointerFile), draft.pointers);
  await atomicWrite(storage.classes, draft.classes);
  await writeLabels(trx, storage.images, written);
  for (const prefix of unlike) await writeLabels(trx, storage.images, await labelledIn(trx, prefix));
  await each(
    draft.changes.filter(({ annotation }) => annotation === null),
    async ({ sha256 }) => removeLabel(storage.images, sha256),
  );
}

import { createHash, randomUUID } from "node:crypto";
import { copyFile, readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import path from "node:path";
import { type Side, SplitPlan } from "../labels/split.ts";
import { formatYolo, parseYolo, type YoloObject } from "../labels/yolo-labels.ts";
import type { Registry } from "../registry/registry.ts";
import { atomicWrite, tryLink } from "../store/atomic-write.ts";
import { isThere, sizeOf } from "../store/file-facts.ts";
import type { DataRepository } from "./data-repository.ts";
import { md5OfText } from "./dvc-objects.ts";
import { EmptyVersion, MissingObjects, UnknownClass } from "./errors.ts";
import { type DataHeader, type ExportedImage, LineWriter, partFile, readDataHeader, readPart, sides } from "./export-files.ts";
import { each } from "./transfer.ts";
import { batchesOf, type DatasetVersion, type Picture, picturesIn } from "./version-pictures.ts";
import { makeFolders } from "../store/make-folder.ts";

export { type DataFile, type ExportedImage, readDataFile } from "./export-files.ts";

/** A dataset version laid out in a folder for trainers: images/ and labels/, each with train/ and val/, and data.json. */
export interface ExportedDataset extends DataHeader {
  readonly folder: string;
}

export interface ExportOptions {
  /** Where exports stand. */
  readonly parent: string;
  /** The share of groups for training. */
  readonly split: number;
  /** The share of groups for a test part. */
  readonly test?: number;
  /** The labels that are kept, by name; all where none are named. */
  readonly labels?: readonly string[];
  /** Tells the groups of pictures, and the classes that were asked. */
  readonly registry?: Registry;
}

/** Exports that are kept at least, and for how long one is kept that was used: longer than any training takes. */
const keep = 5;
const keepUsedMs = 30 * 24 * 3600_000;
const keepUnfinishedMs = 24 * 3600_000;

const folders: Readonly<Record<Side, string>> = { train: "train", validation: "val", test: "test" };

/**
 * Lays a version out beneath `parent`, hard-linked, so that it costs no space and the work tree stays as it is. An export of
 * the same version, split and labels is used again, and damaged files in it are mended. Pictures of one group are on one side.
 */
export async function exportVersion(repository: DataRepository, version: DatasetVersion, options: ExportOptions): Promise<ExportedDataset> {
  const { parent, split, test = 0 } = options;
  const labels = labelsOf(version, options.labels);
  const filter = labels.length === version.classes.length ? "" : `-${createHash("sha256").update(JSON.stringify(labels)).digest("hex").slice(0, 8)}`;
  const folder = path.join(parent, `${version.commit.slice(0, 12)}-${split}-${test}${filter}`);
  if (await isThere(path.join(folder, "data.json"))) await mend(repository, version, folder);
  else {
    const temporary = path.join(parent, `.${randomUUID()}.tmp`);
    try {
      await new Layout(repository, version, options, labels, temporary).write();
      await rename(temporary, folder).catch(async (error: unknown) => {
        // Another run has laid out the same meanwhile.
        if (!(await isThere(path.join(folder, "data.json")))) throw error;
      });
    } finally {
      await rm(temporary, { recursive: true, force: true });
    }
  }
  const header = await readDataHeader(folder);
  await removeOld(parent);
  return { ...header, folder };
}

/** The wanted labels in the order of their numbers. */
function labelsOf({ classes, commit }: DatasetVersion, wanted: readonly string[] | undefined): readonly string[] {
  if (!wanted || wanted.length === 0) return classes;
  const strange = wanted.filter((label) => !classes.includes(label));
  if (strange.length > 0)
    throw new UnknownClass(
      `dataset version ${commit.slice(0, 12)} has no ${strange.map((label) => JSON.stringify(label)).join(", ")}: its classes are ${classes.join(", ")}`,
    );
  return classes.filter((label) => wanted.includes(label));
}

class Layout {
  readonly #repository: DataRepository;
  readonly #version: DatasetVersion;
  readonly #options: ExportOptions;
  readonly #labels: readonly string[];
  readonly #folder: string;
  /** The new number of each class that is kept. */
  readonly #numbers: ReadonlyMap<number, number>;
  readonly #counts: Record<Side, number> = { train: 0, validation: 0, test: 0 };
  readonly #askedOn: number[];

  constructor(repository: DataRepository, version: DatasetVersion, options: ExportOptions, labels: readonly string[], folder: string) {
    this.#repository = repository;
    this.#version = version;
    this.#options = options;
    this.#labels = labels;
    this.#folder = folder;
    this.#numbers = new Map(labels.map((label, i) => [version.classes.indexOf(label), i]));
    this.#askedOn = labels.map(() => 0);
  }

  async write(): Promise<void> {
    const { split, test = 0 } = this.#options;
    const sideOf = await this.#plan(split, test);
    const used = sides.filter((side) => side !== "test" || test > 0);
    for (const side of used) for (const kind of ["images", "labels"]) await makeFolders(path.join(this.#folder, kind, folders[side]));
    const writers = new Map(used.map((side) => [side, new LineWriter(partFile(this.#folder, side))]));
    for await (const pictures of this.#pictures()) {
      const placed = pictures.map((picture) => ({ picture, side: sideOf(picture.groupId) }));
      const lines = new Map<Picture, ExportedImage>();
      await each(placed, async ({ picture, side }) => void lines.set(picture, await this.#place(picture, side)));
      for (const [side, writer] of writers) await writer.write(placed.filter((each) => each.side === side).map(({ picture }) => lines.get(picture)!));
      for (const { picture, side } of placed) this.#count(lines.get(picture)!, side);
    }
    for (const writer of writers.values()) await writer.end();
    await this.#describe(split, test);
  }

  /** The pictures that are exported, some at a time: one whose people were asked for none of the labels tells nothing of them. */
  async *#pictures(): AsyncGenerator<Picture[]> {
    for await (const batch of batchesOf(this.#repository.cache, this.#version, this.#options.registry?.db))
      yield picturesIn(batch).filter(({ asked }) => asked === null || asked.some((id) => this.#numbers.has(id)));
  }

  async #plan(split: number, test: number): Promise<(group: string) => Side> {
    const plan = new SplitPlan({ train: split, test });
    let images = 0;
    for await (const pictures of this.#pictures()) {
      images += pictures.length;
      for (const { groupId } of pictures) plan.add(groupId);
    }
    if (images < 2)
      throw new EmptyVersion(
        `dataset version ${this.#version.commit.slice(0, 12)} has ${images} labelled images of these labels, and training needs at least two: run labeling_pipeline and finish its labeling task first`,
      );
    return plan.sides();
  }

  async #place(picture: Picture, side: Side): Promise<ExportedImage> {
    const { sha256, base, oid, labelOid } = picture;
    const image = path.join("images", folders[side], base);
    const label = path.join(this.#folder, "labels", folders[side], `${sha256}.txt`);
    await linkOrCopy(this.#repository.objectFile(oid), path.join(this.#folder, image));
    const text = await readFile(this.#repository.objectFile(labelOid), "utf8");
    if (md5OfText(text) !== labelOid)
      throw new MissingObjects(
        `the label file of ${sha256} is damaged in the cache (${labelOid}): remove ${this.#repository.objectFile(labelOid)}, and the next export fetches it again`,
      );
    const all = parseYolo(text, `${sha256}.txt`, this.#version.classes.length);
    const objects = all.flatMap(({ cls, xywh }): YoloObject[] => (this.#numbers.has(cls) ? [{ cls: this.#numbers.get(cls)!, xywh }] : []));
    if (this.#labels.length === this.#version.classes.length) await linkOrCopy(this.#repository.objectFile(labelOid), label);
    else await writeFile(label, formatYolo(objects));
    const bytes = picture.bytes ?? (await stat(path.join(this.#folder, image))).size;
    const asked = picture.asked?.flatMap((id) => this.#numbers.get(id) ?? []) ?? null;
    return { sha256, image, bytes, objects, asked };
  }

  #count({ asked }: ExportedImage, side: Side): void {
    this.#counts[side]++;
    this.#labels.forEach((_, i) => {
      if (asked === null || asked.includes(i)) this.#askedOn[i]!++;
    });
  }

  async #describe(split: number, test: number): Promise<void> {
    const names = this.#labels.map((name, i) => `  ${i}: ${JSON.stringify(name)}\n`).join("");
    const testLine = test > 0 ? "test: images/test\n" : "";
    await atomicWrite(path.join(this.#folder, "data.yaml"), `path: .\ntrain: images/train\nval: images/val\n${testLine}names:\n${names}`);
    const header: DataHeader = { commit: this.#version.commit, split, test, labels: this.#labels, counts: this.#counts, askedOn: this.#askedOn };
    await atomicWrite(path.join(this.#folder, "data.json"), JSON.stringify(header));
  }
}

async function linkOrCopy(from: string, to: string): Promise<void> {
  if (!(await tryLink(from, to))) await copyFile(from, to);
}

/** Puts whole files in the place of those in an export whose size is not what it was: they may share bytes with a damaged object. */
async function mend(repository: DataRepository, version: DatasetVersion, folder: string): Promise<void> {
  const damaged = new Map<string, string>();
  for (const side of sides) {
    if (!(await isThere(partFile(folder, side)))) continue;
    for await (const { sha256, image, bytes } of readPart(folder, side)) if ((await sizeOf(path.join(folder, image))) !== bytes) damaged.set(sha256, image);
  }
  if (damaged.size === 0) return;
  for await (const batch of batchesOf(repository.cache, version, undefined))
    for (const { sha256, oid } of picturesIn(batch)) {
      const image = damaged.get(sha256);
      if (image === undefined) continue;
      const temporary = path.join(folder, `.${randomUUID()}.tmp`);
      await linkOrCopy(repository.objectFile(oid), temporary);
      await rename(temporary, path.join(folder, image));
    }
}

/** Removes exports that nothing has used for long, but for the newest; each can be made again. */
async function removeOld(parent: string): Promise<void> {
  const found: { file: string; usedAt: number; isUnfinished: boolean }[] = [];
  for (const name of await readdir(parent)) {
    const file = path.join(parent, name);
    const info = await stat(file).catch(() => undefined);
    if (info?.isDirectory()) found.push({ file, usedAt: info.mtimeMs, isUnfinished: name.endsWith(".tmp") });
  }
  const finished = found.filter(({ isUnfinished }) => !isUnfinished).toSorted((a, b) => b.usedAt - a.usedAt);
  const unused = finished.slice(keep).filter(({ usedAt }) => usedAt < Date.now() - keepUsedMs);
  const left = found.filter(({ isUnfinished, usedAt }) => isUnfinished && usedAt < Date.now() - keepUnfinishedMs);
  for (const { file } of [...unused, ...left]) {
    // Under another name first: nobody meets half an export.
    const doomed = path.join(parent, `.${randomUUID()}.tmp`);
    await rename(file, doomed).catch(() => undefined);
    await rm(doomed, { recursive: true, force: true });
  }
}

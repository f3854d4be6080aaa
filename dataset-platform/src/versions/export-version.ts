import { copyFile, link, mkdir, readFile, rename, rm } from "node:fs/promises";
import path from "node:path";
import { parseYolo, type YoloObject } from "../labels/yolo-labels.ts";
import { splitBy } from "../labels/split.ts";
import { atomicWrite } from "../store/atomic-write.ts";
import { keepNewest } from "../store/keep-newest.ts";
import type { DataRepository, DatasetVersion } from "./data-repository.ts";
import { isThere } from "./dvc-objects.ts";

/** A dataset version laid out in a folder for trainers: images/ and labels/, each with train/ and val/, and data.json. */
export interface ExportedDataset {
  readonly folder: string;
  readonly commit: string;
  readonly labels: readonly string[];
  readonly train: number;
  readonly validation: number;
}

/** What `data.json` holds. Paths are relative to its folder. */
export interface DataFile {
  readonly commit: string;
  readonly split: number;
  readonly labels: readonly string[];
  readonly train: readonly ExportedImage[];
  readonly validation: readonly ExportedImage[];
}

export interface ExportedImage {
  readonly sha256: string;
  readonly image: string;
  readonly objects: readonly YoloObject[];
}

/** Exports that are kept; older ones are removed, since each can be made again. */
const keep = 5;

/**
 * Lays a version out beneath `parent`, hard-linked, so that it costs no space and the work tree stays as it is. An export of
 * the same version and split is used again.
 */
export async function exportVersion(
  repository: DataRepository,
  version: DatasetVersion,
  { parent, split }: { parent: string; split: number },
): Promise<ExportedDataset> {
  const folder = path.join(parent, `${version.commit.slice(0, 12)}-${split}`);
  if (!(await isThere(path.join(folder, "data.json")))) {
    const temporary = `${folder}.${process.pid}.tmp`;
    await rm(temporary, { recursive: true, force: true });
    await layOut(repository, version, split, temporary);
    await rm(folder, { recursive: true, force: true });
    await rename(temporary, folder);
    await keepNewest(parent, keep);
  }
  const data = await readDataFile(folder);
  return { folder, commit: data.commit, labels: data.labels, train: data.train.length, validation: data.validation.length };
}

export async function readDataFile(folder: string): Promise<DataFile> {
  return JSON.parse(await readFile(path.join(folder, "data.json"), "utf8")) as DataFile;
}

async function layOut(repository: DataRepository, { commit, classes, entries }: DatasetVersion, split: number, folder: string): Promise<void> {
  const labelled = new Map(entries.filter(({ relpath }) => relpath.endsWith(".txt")).map((entry) => [path.parse(entry.relpath).name, entry]));
  const images = entries.filter(({ relpath }) => !relpath.endsWith(".txt") && labelled.has(path.parse(relpath).name));
  if (images.length < 2)
    throw new Error(
      `dataset version ${commit.slice(0, 12)} has ${images.length} labelled images, and training needs at least two: run labeling_pipeline and finish its labeling task first`,
    );
  const parts = splitBy(images, ({ relpath }) => path.parse(relpath).name, split);
  const place = async (part: typeof images, name: string): Promise<ExportedImage[]> => {
    await mkdir(path.join(folder, "images", name), { recursive: true });
    await mkdir(path.join(folder, "labels", name), { recursive: true });
    return Promise.all(
      part.map(async (entry) => {
        const { name: sha256, base } = path.parse(entry.relpath);
        const label = labelled.get(sha256)!;
        const image = path.join("images", name, base);
        await linkOrCopy(repository.objectFile(entry), path.join(folder, image));
        await linkOrCopy(repository.objectFile(label), path.join(folder, "labels", name, `${sha256}.txt`));
        const objects = parseYolo(await readFile(repository.objectFile(label), "utf8"), label.relpath, classes.length);
        return { sha256, image, objects };
      }),
    );
  };
  const train = await place(parts.train, "train");
  const validation = await place(parts.validation, "val");
  const names = classes.map((name, i) => `  ${i}: ${JSON.stringify(name)}\n`).join("");
  await atomicWrite(path.join(folder, "data.yaml"), `path: .\ntrain: images/train\nval: images/val\nnames:\n${names}`);
  const data: DataFile = { commit, split, labels: classes, train, validation };
  await atomicWrite(path.join(folder, "data.json"), JSON.stringify(data));
}

async function linkOrCopy(from: string, to: string): Promise<void> {
  await link(from, to).catch(() => copyFile(from, to));
}

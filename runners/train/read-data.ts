import { readdir, readFile, stat } from "node:fs/promises";
import path from "node:path";
import { parse } from "yaml";
import { parseYolo } from "@airloom/dataset-platform/labels/yolo-labels.ts";
import { type ExportedImage, readDataFile } from "@airloom/dataset-platform/versions/export-version.ts";
import { DataError } from "@airloom/yolo/train/check-data.ts";
import type { PictureFile } from "@airloom/yolo/train/pictures.ts";

/** A data set that can be trained with. */
export interface TrainingData {
  readonly labels: readonly string[];
  readonly train: readonly PictureFile[];
  readonly validation: readonly PictureFile[];
  /** What it is, for the model card. */
  readonly name: string;
}

const pictureEndings = new Set([".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".avif"]);
const mostPictures = 1_000_000;

/**
 * A data set at `place`: a folder that holds `data.json` (as Airloom's export has it) or `data.yaml` (as most tools do, with
 * `train`, `val` and `names`), or one of those files.
 */
export async function readTrainingData(place: string): Promise<TrainingData> {
  const isFolder = await stat(place).then(
    (info) => info.isDirectory(),
    () => {
      throw new DataError(`${place} is not there: --data names a folder with data.yaml or data.json, or one of those files`);
    },
  );
  const file = isFolder ? await fileIn(place) : place;
  const folder = path.dirname(file);
  if (path.basename(file) === "data.json") {
    const { labels, train, validation, commit } = await readDataFile(folder);
    return { labels, train: exportedPictures(folder, train), validation: exportedPictures(folder, validation), name: `${folder} (commit ${commit})` };
  }
  const { root, train, val, labels } = await readYaml(file);
  const part = async (places: readonly string[]) => (await Promise.all(places.map((each) => picturesIn(path.resolve(root, each), labels.length)))).flat();
  return { labels, train: await part(train), validation: await part(val), name: file };
}

/** The pictures of a part of an exported dataset, each with the classes that were asked. */
export function exportedPictures(folder: string, part: readonly ExportedImage[]): PictureFile[] {
  return part.map(({ image, objects, asked }) => ({ file: path.join(folder, image), objects, asked: asked ?? undefined }));
}

/** Pictures of a data set whose labels, or what was asked of them, are no longer what they were, or that are gone. */
export function changedSince(before: TrainingData, now: TrainingData): string[] {
  const known = ({ objects, asked }: PictureFile) => JSON.stringify([objects, asked]);
  const labels = new Map([...now.train, ...now.validation].map((picture) => [picture.file, known(picture)]));
  return [...before.train, ...before.validation].flatMap((picture) => (labels.get(picture.file) === known(picture) ? [] : [picture.file]));
}

async function fileIn(folder: string): Promise<string> {
  const names = await readdir(folder);
  const found = ["data.json", "data.yaml", "data.yml"].find((name) => names.includes(name));
  if (!found) throw new DataError(`${folder} holds neither data.json nor data.yaml`);
  return path.join(folder, found);
}

interface DataYaml {
  readonly root: string;
  readonly train: readonly string[];
  readonly val: readonly string[];
  readonly labels: readonly string[];
}

async function readYaml(file: string): Promise<DataYaml> {
  const read: unknown = parse(await readFile(file, "utf8"), { maxAliasCount: 100 });
  const { path: base, train, val, names } = (typeof read === "object" && read !== null ? read : {}) as Record<string, unknown>;
  const places = (value: unknown, key: string): string[] => {
    const list = Array.isArray(value) ? (value as unknown[]) : [value];
    if (!list.every((each): each is string => typeof each === "string" && each !== ""))
      throw new DataError(`${file}: "${key}" must name a folder of pictures, or a list of them`);
    return list;
  };
  const labels: unknown[] = Array.isArray(names) ? names : Object.values((names ?? {}) as Record<string, unknown>);
  if (labels.length === 0 || !labels.every((label): label is string => typeof label === "string"))
    throw new DataError(`${file}: "names" must be the labels, in the order of their numbers`);
  return { root: path.resolve(path.dirname(file), typeof base === "string" ? base : "."), train: places(train, "train"), val: places(val, "val"), labels };
}

/** The pictures in a folder of images/…, each with its label file under the same name in labels/…; none means no objects. */
async function picturesIn(folder: string, classes: number): Promise<PictureFile[]> {
  const names = await readdir(folder, { recursive: true }).catch((error: unknown) => {
    throw new DataError(`the pictures' folder ${folder} cannot be read: ${(error as Error).message}`);
  });
  const pictures = names.filter((name) => pictureEndings.has(path.extname(name).toLowerCase())).toSorted();
  if (pictures.length > mostPictures) throw new DataError(`${folder} has ${pictures.length} pictures, and ${mostPictures} are the most`);
  return Promise.all(
    pictures.map(async (name) => {
      const file = path.join(folder, name);
      const labelFile = labelFileOf(file);
      const text = await readFile(labelFile, "utf8").catch((error: NodeJS.ErrnoException) => {
        if (error.code === "ENOENT") return "";
        throw error;
      });
      try {
        return { file, objects: parseYolo(text, labelFile, classes) };
      } catch (error) {
        throw new DataError((error as Error).message);
      }
    }),
  );
}

/** The last folder named `images` becomes `labels`; without one the label file lies beside its picture. */
function labelFileOf(picture: string): string {
  const { dir, name } = path.parse(picture);
  const parts = dir.split(path.sep);
  const at = parts.lastIndexOf("images");
  return path.join(at < 0 ? dir : parts.with(at, "labels").join(path.sep), `${name}.txt`);
}

import { createReadStream, createWriteStream, type WriteStream } from "node:fs";
import { readFile, utimes } from "node:fs/promises";
import path from "node:path";
import { createInterface } from "node:readline";
import { finished } from "node:stream/promises";
import type { Side } from "../labels/split.ts";
import type { YoloObject } from "../labels/yolo-labels.ts";

/** What `data.json` of an exported dataset holds. */
export interface DataHeader {
  readonly commit: string;
  /** The share of groups for training, and for the test. */
  readonly split: number;
  readonly test: number;
  readonly labels: readonly string[];
  /** Pictures on each side. */
  readonly counts: Readonly<Record<Side, number>>;
  /** On how many pictures people were asked to mark each label; pictures of which nobody knows are counted. */
  readonly askedOn: readonly number[];
}

/** A line of `train.jsonl`, `validation.jsonl` or `test.jsonl`. */
export interface ExportedImage {
  readonly sha256: string;
  /** Relative to the export's folder. */
  readonly image: string;
  readonly bytes: number;
  readonly objects: readonly YoloObject[];
  /** Numbers of the labels that people were asked to mark: the picture is a negative for these alone. Null: not known. */
  readonly asked: readonly number[] | null;
}

/** An exported dataset as a whole. */
export interface DataFile extends Omit<DataHeader, "test"> {
  readonly train: readonly ExportedImage[];
  readonly validation: readonly ExportedImage[];
  readonly test: readonly ExportedImage[];
}

export const sides: readonly Side[] = ["train", "validation", "test"];
export const partFile = (folder: string, side: Side): string => path.join(folder, `${side}.jsonl`);

/** What an export holds, without its pictures. Marks the export as used, so that it is kept. */
export async function readDataHeader(folder: string): Promise<DataHeader> {
  const header = JSON.parse(await readFile(path.join(folder, "data.json"), "utf8")) as DataHeader;
  if (header.counts === undefined)
    throw new Error(`${folder} was exported by an earlier release of Airloom: export the version again (run training_pipeline anew)`);
  const now = new Date();
  // An export on a volume that cannot be written can be read all the same.
  await utimes(folder, now, now).catch(() => undefined);
  return header;
}

/** The pictures of one side of an export, one by one. */
export async function* readPart(folder: string, side: Side): AsyncGenerator<ExportedImage> {
  const lines = createInterface({ input: createReadStream(partFile(folder, side), "utf8"), crlfDelay: Infinity });
  for await (const line of lines) if (line !== "") yield JSON.parse(line) as ExportedImage;
}

/** An export with all its pictures in memory. */
export async function readDataFile(folder: string): Promise<DataFile> {
  const { test: _share, ...header } = await readDataHeader(folder);
  const parts: Record<Side, ExportedImage[]> = { train: [], validation: [], test: [] };
  for (const side of sides) if (header.counts[side] > 0) for await (const image of readPart(folder, side)) parts[side].push(image);
  return { ...header, ...parts };
}

/** Writes lines of JSON, no faster than the disk takes them. */
export class LineWriter {
  readonly #stream: WriteStream;
  readonly #finished: Promise<void>;

  constructor(file: string) {
    this.#stream = createWriteStream(file, { flags: "wx" });
    this.#finished = finished(this.#stream);
    // Told at the next write, or at the end.
    this.#finished.catch(() => undefined);
  }

  async write(lines: readonly object[]): Promise<void> {
    if (lines.length === 0) return;
    const text = lines.map((line) => `${JSON.stringify(line)}\n`).join("");
    if (!this.#stream.write(text)) await Promise.race([new Promise<void>((done) => this.#stream.once("drain", done)), this.#finished]);
  }

  async end(): Promise<void> {
    this.#stream.end();
    await this.#finished;
  }
}

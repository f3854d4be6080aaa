import { readFile } from "node:fs/promises";

/** One object of a label file: class index, then centre and size as shares of the picture as a person sees it. */
export interface YoloObject {
  readonly cls: number;
  readonly xywh: readonly [cx: number, cy: number, w: number, h: number];
}

/** The text of a label file: one object a line, empty where a picture has none. */
export function formatYolo(objects: readonly YoloObject[]): string {
  return objects.map(({ cls, xywh }) => `${cls} ${xywh.map((value) => value.toFixed(6)).join(" ")}\n`).join("");
}

/** The objects in a label file; throws an error that names the first line that is not one. */
export function parseYolo(text: string, file: string, classes: number): YoloObject[] {
  return text
    .split("\n")
    .map((line, i) => ({ line: line.trim(), number: i + 1 }))
    .filter(({ line }) => line !== "")
    .map(({ line, number }) => {
      const [cls, ...xywh] = line.split(/\s+/).map(Number);
      const ok = xywh.length === 4 && Number.isInteger(cls) && cls! >= 0 && cls! < classes && xywh.every((value) => value >= 0 && value <= 1);
      if (!ok) throw new Error(`${file}:${number}: "${line}" is not a class below ${classes} and four numbers from 0 to 1`);
      return { cls: cls!, xywh: xywh as unknown as YoloObject["xywh"] };
    });
}

/** The class names of a storage folder, in the order of their numbers. */
export async function readClasses(file: string): Promise<string[]> {
  const text = await readFile(file, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return "";
    throw error;
  });
  return text.split("\n").filter((line) => line !== "");
}

import sharp from "sharp";
import type { Picture, PictureSource } from "../augment/sample.ts";
import type { Asked } from "../boxes/asked.ts";
import { fromYolo } from "../boxes/boxes.ts";

/** A picture on disk and its objects, as YOLO label files give them: normalised centre and size. */
export interface PictureFile {
  readonly file: string;
  readonly objects: readonly { readonly cls: number; readonly xywh: readonly [number, number, number, number] }[];
  /** The classes that its annotator was asked to mark: without it all. */
  readonly asked?: Asked;
}

/** Pictures larger than this are refused before they are decoded. */
export const maxInputPixels = 100_000_000;

/** Decodes a picture, as a person sees it (EXIF), with its longer side scaled to `side`. As strict as ingest, and no stricter: what was taken can be trained on. */
export async function loadPicture({ file, objects, asked }: PictureFile, side: number): Promise<Picture> {
  const image = sharp(file, { limitInputPixels: maxInputPixels, failOn: "truncated" })
    .autoOrient()
    .flatten({ background: "#727272" })
    .toColourspace("srgb")
    .removeAlpha();
  const { data, info } = await image
    .resize(side, side, { fit: "inside" })
    .raw()
    .toBuffer({ resolveWithObject: true })
    .catch((error: unknown) => {
      throw new Error(`${file} cannot be read as a picture: ${(error as Error).message}`, { cause: error });
    });
  const boxes = objects.map(({ cls, xywh }) => ({ cls, box: fromYolo(xywh, info.width, info.height) }));
  return { pixels: data, width: info.width, height: info.height, objects: boxes, asked };
}

/** Pictures decoded when they are first needed, and kept in memory up to `cacheBytes`; the others are decoded each time. */
export function pictureSource(files: readonly PictureFile[], side: number, cacheBytes: number): PictureSource {
  const kept = new Map<number, Promise<Picture>>();
  let bytes = 0;
  return {
    length: files.length,
    get(index) {
      const known = kept.get(index);
      if (known) return known;
      const loading = loadPicture(files[index]!, side);
      // Counted before it is there, by the most that it can take, so that the limit holds.
      const most = side * side * 3;
      if (bytes + most <= cacheBytes) {
        bytes += most;
        kept.set(index, loading);
      }
      return loading;
    },
  };
}

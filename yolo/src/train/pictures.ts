import sharp from "sharp";
import type { Picture } from "../augment/sample.ts";
import { fromYolo } from "../boxes/boxes.ts";

/** A picture on disk and its objects, as YOLO label files give them: normalised centre and size. */
export interface PictureFile {
  readonly file: string;
  readonly objects: readonly { readonly cls: number; readonly xywh: readonly [number, number, number, number] }[];
}

/** Pictures larger than this are refused before they are decoded. */
export const maxInputPixels = 100_000_000;

/** Decodes a picture, as a person sees it (EXIF), with its longer side scaled to `side`. */
export async function loadPicture({ file, objects }: PictureFile, side: number): Promise<Picture> {
  const image = sharp(file, { limitInputPixels: maxInputPixels }).autoOrient().flatten({ background: "#727272" }).toColourspace("srgb").removeAlpha();
  const { data, info } = await image.resize(side, side, { fit: "inside" }).raw().toBuffer({ resolveWithObject: true });
  const boxes = objects.map(({ cls, xywh }) => ({ cls, box: fromYolo(xywh, info.width, info.height) }));
  return { pixels: data, width: info.width, height: info.height, objects: boxes };
}

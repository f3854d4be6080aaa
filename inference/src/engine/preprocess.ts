import { letterbox, type Letterbox, padGrey } from "@airloom/yolo/boxes/letterbox.ts";
import sharp from "sharp";

/** Pictures that would decode to more pixels are refused before they are. */
export const maxInputPixels = 50_000_000;

/** Formats that are decoded; others that sharp knows (SVG, GIF, TIFF …) are refused. */
const formats = ["jpeg", "png", "webp"];

/** What was sent is not a picture that can be used. The message is for the client. */
export class BadImageError extends Error {
  override readonly name = "BadImageError";
}

/** A picture as a model takes it. */
export interface Prepared {
  /** [1, 3, side, side] float32 RGB in 0 … 1. */
  readonly values: Float32Array;
  readonly at: Letterbox;
  /** Pixels as a person sees the picture (EXIF applied). */
  readonly width: number;
  readonly height: number;
}

/** Decodes a picture and centres it on a grey square of `side` pixels. */
export async function prepare(data: Buffer, side: number): Promise<Prepared> {
  try {
    const image = sharp(data, { limitInputPixels: maxInputPixels, failOn: "truncated" });
    const { format, autoOrient, pages } = await image.metadata();
    if (!formats.includes(format)) throw new BadImageError(`the file is ${format}; send JPEG, PNG or WebP`);
    if ((pages ?? 1) > 1) throw new BadImageError("the file is an animation; send a single picture");
    const { width, height } = autoOrient;
    const at = letterbox(width, height, side);
    const { data: pixels } = await image
      .autoOrient()
      .flatten({ background: "#727272" })
      .toColourspace("srgb")
      .removeAlpha()
      .resize(at.width, at.height, { fit: "fill" })
      .raw()
      .toBuffer({ resolveWithObject: true });
    return { values: toPlanes(pixels, at, side), at, width, height };
  } catch (error) {
    if (error instanceof BadImageError) throw error;
    throw new BadImageError(`the file cannot be decoded as a picture: ${(error as Error).message.split("\n")[0]}`, { cause: error });
  }
}

function toPlanes(pixels: Buffer, { left, top, width, height }: Letterbox, side: number): Float32Array {
  const plane = side * side;
  const values = new Float32Array(3 * plane).fill(padGrey / 255);
  for (let y = 0; y < height; y++) {
    let from = y * width * 3;
    let to = (y + top) * side + left;
    for (let x = 0; x < width; x++, to++, from += 3) {
      values[to] = pixels[from]! / 255;
      values[plane + to] = pixels[from + 1]! / 255;
      values[2 * plane + to] = pixels[from + 2]! / 255;
    }
  }
  return values;
}

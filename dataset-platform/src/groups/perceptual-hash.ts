import { createHash } from "node:crypto";
import sharp, { type Sharp } from "sharp";

/** What is kept of a picture to tell whether another one is the same or nearly so. */
export interface PictureHashes {
  /** SHA-256 of width, height and the pixels as a person sees them: equal for the same pixels in any lossless file. */
  readonly pixels: string;
  /** As a person sees it, after EXIF's orientation. */
  readonly width: number;
  readonly height: number;
  /** `lookBytes` bytes: a small rendition of the picture, from which everything else is computed. */
  readonly look: Buffer;
}

/** Cells along a side of the rendition of brightness, and of each of the two of colour. */
export const lumaSide = 20;
export const chromaSide = 5;
const planes = [lumaSide, chromaSide, chromaSide] as const;
/** Each plane has its lowest value and its range, 16 bits each, and its cells, 8 bits each: 462 in all. */
export const lookBytes = planes.reduce((sum, side) => sum + 4 + side * side, 0);

/** The most pixels that bytes may decode to, as the store takes them; a Sharp has its own limit. */
const limitInputPixels = 100_000_000;
/** What lies under transparent pixels: training puts the same there. */
const background = "#727272";
/** The side that a picture is brought to first, a multiple of both sides above: averages over cells keep fractions of a level. */
const renditionSide = 80;

/**
 * The hashes of a picture as training sees it: upright, in sRGB with 8 bits, transparency laid on grey. It is decoded once,
 * whole, because `pixels` needs it: three bytes of memory a pixel. A truncated file rejects if `image` was made to.
 */
export async function pictureHashes(image: Sharp | Buffer): Promise<PictureHashes> {
  const { data, info } = await (Buffer.isBuffer(image) ? sharp(image, { limitInputPixels, failOn: "truncated" }) : image.clone())
    .autoOrient()
    .flatten({ background })
    .toColourspace("srgb")
    .removeAlpha()
    .raw({ depth: "uchar" })
    .toBuffer({ resolveWithObject: true });
  const { width, height, channels } = info;
  const size = Buffer.alloc(8);
  size.writeUInt32BE(width, 0);
  size.writeUInt32BE(height, 4);
  const pixels = createHash("sha256").update(size).update(data).digest("hex");
  const small = await sharp(data, { raw: { width, height, channels } })
    .resize(renditionSide, renditionSide, { fit: "fill", kernel: "linear" })
    .raw()
    .toBuffer();
  return { pixels, width, height, look: lookOf(small) };
}

/** Brightness and the two colour differences from red, green and blue (JFIF 1.02, from ITU-R BT.601). */
const weights = [
  [0.299, 0.587, 0.114],
  [-0.168736, -0.331264, 0.5],
  [0.5, -0.418688, -0.081312],
] as const;

/** The look of a rendition, `[renditionSide, renditionSide, 3]` in 8 bits. */
export function lookOf(rgb: Buffer): Buffer {
  const look = Buffer.alloc(lookBytes);
  let at = 0;
  for (const [plane, side] of planes.entries()) {
    const [r, g, b] = weights[plane]!;
    const cells = new Float64Array(side * side);
    for (let y = 0, i = 0; y < renditionSide; y++)
      for (let x = 0; x < renditionSide; x++, i += 3) {
        const cell = Math.floor((y * side) / renditionSide) * side + Math.floor((x * side) / renditionSide);
        cells[cell]! += (r * rgb[i]! + g * rgb[i + 1]! + b * rgb[i + 2]!) * (side / renditionSide) ** 2;
      }
    at = writePlane(look, at, cells);
  }
  return look;
}

/** Writes the lowest value and the range, each in 128ths, then the cells in 255ths of the range; gives where it ends. */
function writePlane(look: Buffer, at: number, cells: Float64Array): number {
  const base = Math.floor(Math.min(...cells) * 128) / 128;
  const range = Math.max(1, Math.ceil((Math.max(...cells) - base) * 128)) / 128;
  look.writeInt16BE(base * 128, at);
  look.writeUInt16BE(range * 128, at + 2);
  for (let i = 0; i < cells.length; i++) look[at + 4 + i] = Math.round(((cells[i]! - base) / range) * 255);
  return at + 4 + cells.length;
}

/** The planes of a look: brightness 0 … 255, then two colour differences −128 … 128; each in rows. */
export function planesOf(look: Buffer): [Float64Array, Float64Array, Float64Array] {
  let at = 0;
  return planes.map((side) => {
    const [base, range] = [look.readInt16BE(at) / 128, look.readUInt16BE(at + 2) / 128];
    const cells = Float64Array.from({ length: side * side }, (_, i) => base + (look[at + 4 + i]! / 255) * range);
    at += 4 + side * side;
    return cells;
  }) as [Float64Array, Float64Array, Float64Array];
}

import type { BoxXyxy } from "../boxes/boxes.ts";
import type { Affine } from "./affine.ts";
import type { Picture } from "./sample.ts";

/** A picture placed on a canvas with its top-left corner at (left, top), visible inside `clip`. */
export interface Tile {
  readonly picture: Picture;
  readonly left: number;
  readonly top: number;
  readonly clip: BoxXyxy;
}

/** Weights of neighbouring pixels are whole numbers of this part. */
const one = 256;

/**
 * Draws a tile into `into` [side, side, 3] uint8 through the inverse of the mapping, with bilinear sampling. Each output
 * pixel is interpolated once, whatever happens to the canvas.
 */
export function drawTile(tile: Tile, into: Uint8Array, side: number, affine: Affine): void {
  if (affine.b === 0 && affine.c === 0) drawUpright(tile, into, side, affine);
  else drawTurned(tile, into, side, affine);
}

/** Where the output's columns (or rows) read a tile: first pixel, step to the second, weight of the second. */
interface Reads {
  readonly from: number;
  readonly to: number;
  readonly first: Int32Array;
  readonly second: Int32Array;
  readonly weight: Int32Array;
}

function readsAlong(side: number, slope: number, shift: number, centre: number, offset: number, size: number, low: number, high: number): Reads {
  const [first, second, weight] = [new Int32Array(side), new Int32Array(side), new Int32Array(side)];
  let [from, to] = [side, 0];
  for (let p = 0; p < side; p++) {
    const canvas = (p + 0.5 - shift) / slope + centre;
    if (canvas < low || canvas >= high) continue;
    from = Math.min(from, p);
    to = p + 1;
    const at = Math.min(size - 1, Math.max(0, canvas - offset - 0.5));
    first[p] = Math.floor(at);
    second[p] = Math.min(size - 1, first[p]! + 1);
    weight[p] = Math.round((at - first[p]!) * one);
  }
  return { from, to, first, second, weight };
}

/** Without rotation the columns read are the same in every row. */
function drawUpright({ picture, left, top, clip }: Tile, into: Uint8Array, side: number, { a, d, centre, shiftX, shiftY }: Affine): void {
  const { pixels, width, height } = picture;
  const columns = readsAlong(side, a, shiftX, centre, left, width, clip[0], clip[2]);
  const rows = readsAlong(side, d, shiftY, centre, top, height, clip[1], clip[3]);
  for (let y = rows.from; y < rows.to; y++) {
    const upper = rows.first[y]! * width;
    const lower = rows.second[y]! * width;
    const wy = rows.weight[y]!;
    let to = (y * side + columns.from) * 3;
    for (let x = columns.from; x < columns.to; x++) {
      const wx = columns.weight[x]!;
      const [x0, x1] = [columns.first[x]!, columns.second[x]!];
      let p = (upper + x0) * 3;
      let q = (upper + x1) * 3;
      let r = (lower + x0) * 3;
      let s = (lower + x1) * 3;
      const [w0, w1, w2, w3] = [(one - wx) * (one - wy), wx * (one - wy), (one - wx) * wy, wx * wy];
      into[to++] = (pixels[p++]! * w0 + pixels[q++]! * w1 + pixels[r++]! * w2 + pixels[s++]! * w3 + 32768) >> 16;
      into[to++] = (pixels[p++]! * w0 + pixels[q++]! * w1 + pixels[r++]! * w2 + pixels[s++]! * w3 + 32768) >> 16;
      into[to++] = (pixels[p]! * w0 + pixels[q]! * w1 + pixels[r]! * w2 + pixels[s]! * w3 + 32768) >> 16;
    }
  }
}

function drawTurned({ picture, left, top, clip }: Tile, into: Uint8Array, side: number, { a, b, c, d, centre, shiftX, shiftY }: Affine): void {
  const { pixels, width, height } = picture;
  const det = a * d - b * c;
  for (let y = 0; y < side; y++)
    for (let x = 0; x < side; x++) {
      const [ox, oy] = [x + 0.5 - shiftX, y + 0.5 - shiftY];
      const cx = (d * ox - b * oy) / det + centre;
      const cy = (a * oy - c * ox) / det + centre;
      if (cx < clip[0] || cx >= clip[2] || cy < clip[1] || cy >= clip[3]) continue;
      const sx = Math.min(width - 1, Math.max(0, cx - left - 0.5));
      const sy = Math.min(height - 1, Math.max(0, cy - top - 0.5));
      const [x0, y0] = [Math.floor(sx), Math.floor(sy)];
      const [x1, y1] = [Math.min(width - 1, x0 + 1), Math.min(height - 1, y0 + 1)];
      const [fx, fy] = [sx - x0, sy - y0];
      for (let k = 0; k < 3; k++) {
        const upper = pixels[(y0 * width + x0) * 3 + k]! * (1 - fx) + pixels[(y0 * width + x1) * 3 + k]! * fx;
        const lower = pixels[(y1 * width + x0) * 3 + k]! * (1 - fx) + pixels[(y1 * width + x1) * 3 + k]! * fx;
        into[(y * side + x) * 3 + k] = Math.round(upper * (1 - fy) + lower * fy);
      }
    }
}

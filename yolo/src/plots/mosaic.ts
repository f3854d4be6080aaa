import sharp from "sharp";
import type { BoxXyxy } from "../boxes/boxes.ts";
import { padGrey } from "../boxes/letterbox.ts";
import { colourOf, escapeXml } from "./svg.ts";

/** A picture with boxes to be drawn on it. */
export interface Annotated {
  /** [height, width, 3] uint8 RGB. */
  readonly pixels: Uint8Array;
  readonly width: number;
  readonly height: number;
  readonly boxes: readonly { readonly box: BoxXyxy; readonly cls: number; readonly score?: number }[];
}

/** Pictures of a mosaic, at most, and the side of each, pixels. */
const most = 16;
const side = 320;

/** Up to sixteen pictures with their boxes in one, as a JPEG. */
export async function drawMosaic(pictures: readonly Annotated[], labels: readonly string[]): Promise<Buffer> {
  const shown = pictures.slice(0, most);
  const columns = Math.ceil(Math.sqrt(shown.length));
  const rows = Math.ceil(shown.length / columns);
  const tiles = await Promise.all(
    shown.map(async ({ pixels, width, height }, i) => {
      const scale = Math.min(side / width, side / height);
      const input = await sharp(pixels, { raw: { width, height, channels: 3 } })
        .resize(Math.max(1, Math.round(width * scale)), Math.max(1, Math.round(height * scale)), { fit: "fill" })
        .png({ compressionLevel: 1 })
        .toBuffer();
      return { input, left: (i % columns) * side, top: Math.floor(i / columns) * side };
    }),
  );
  const overlay = shown.flatMap(({ width, height, boxes }, i) => {
    const scale = Math.min(side / width, side / height);
    const [left, top] = [(i % columns) * side, Math.floor(i / columns) * side];
    return boxes.map(({ box, cls, score }) => {
      const [x1, y1, x2, y2] = box.map((value) => value * scale) as [number, number, number, number];
      const text = `${labels[cls] ?? cls}${score === undefined ? "" : ` ${score.toFixed(2)}`}`.slice(0, 24);
      const at = Math.max(11, y1);
      return `<g transform="translate(${left},${top})"><rect x="${x1.toFixed(1)}" y="${y1.toFixed(1)}" width="${(x2 - x1).toFixed(1)}" height="${(y2 - y1).toFixed(1)}" fill="none" stroke="${colourOf(cls)}" stroke-width="2"/><rect x="${x1.toFixed(1)}" y="${(at - 11).toFixed(1)}" width="${text.length * 6 + 4}" height="11" fill="${colourOf(cls)}"/><text x="${(x1 + 2).toFixed(1)}" y="${(at - 2).toFixed(1)}" font-size="9" fill="white" font-family="DejaVu Sans, Helvetica, Arial, sans-serif">${escapeXml(text)}</text></g>`;
    });
  });
  const [width, height] = [columns * side, rows * side];
  const boxes = Buffer.from(`<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}">${overlay.join("")}</svg>`);
  return sharp({ create: { width, height, channels: 3, background: { r: padGrey, g: padGrey, b: padGrey } } })
    .composite([...tiles, { input: boxes, left: 0, top: 0 }])
    .jpeg({ quality: 88 })
    .toBuffer();
}

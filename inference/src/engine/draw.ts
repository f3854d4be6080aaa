import sharp from "sharp";
import type { Found } from "./detector.ts";
import { maxInputPixels } from "./preprocess.ts";

/** Colours that are told apart, also by most people who see fewer (Okabe and Ito's palette). */
const palette = ["#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7"] as const;

const escape = (text: string) => text.replace(/[<>&"']/g, (character) => `&#${character.charCodeAt(0)};`);

/** The picture as JPEG with a frame and a name around each detection. */
export async function drawDetections(image: Buffer, { width, height, detections }: Found, labels: readonly string[]): Promise<Buffer> {
  const line = Math.max(2, Math.round(Math.max(width, height) / 400));
  const text = line * 8;
  const marks = detections.map(({ box: [x1, y1, x2, y2], score, cls }) => {
    const colour = palette[cls % palette.length]!;
    const rect = `x="${x1.toFixed(1)}" y="${y1.toFixed(1)}" width="${(x2 - x1).toFixed(1)}" height="${(y2 - y1).toFixed(1)}" fill="none"`;
    const name = escape(`${labels[cls]!} ${(score * 100).toFixed(0)} %`);
    return `<rect ${rect} stroke="white" stroke-width="${line * 2}"/><rect ${rect} stroke="${colour}" stroke-width="${line}"/><text x="${(x1 + line).toFixed(1)}" y="${Math.max(text, y1 - line * 2).toFixed(1)}" font-family="sans-serif" font-size="${text}" fill="white" stroke="black" stroke-width="${line}" paint-order="stroke">${name}</text>`;
  });
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}">${marks.join("")}</svg>`;
  return sharp(image, { limitInputPixels: maxInputPixels })
    .autoOrient()
    .flatten({ background: "white" })
    .toColourspace("srgb")
    .composite([{ input: Buffer.from(svg) }])
    .jpeg({ quality: 88 })
    .toBuffer();
}

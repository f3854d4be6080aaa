import type { BoxXyxy } from "./boxes.ts";

/** How a picture was scaled and centred in the model's square, so that boxes can be brought back. */
export interface Letterbox {
  readonly scale: number;
  /** Grey pixels left of and above the picture. */
  readonly left: number;
  readonly top: number;
  /** The picture's size within the square. */
  readonly width: number;
  readonly height: number;
}

/** The grey that fills what the picture leaves free, 0 … 255. */
export const padGrey = 114;

/** The largest placement of a picture in a square of `side` pixels that keeps its proportions. */
export function letterbox(imageWidth: number, imageHeight: number, side: number): Letterbox {
  const scale = Math.min(side / imageWidth, side / imageHeight);
  const width = Math.max(1, Math.round(imageWidth * scale));
  const height = Math.max(1, Math.round(imageHeight * scale));
  return { scale, left: Math.floor((side - width) / 2), top: Math.floor((side - height) / 2), width, height };
}

/** A box of the square in the pixels of the picture, clipped to it. */
export function undoLetterbox([x1, y1, x2, y2]: BoxXyxy, at: Letterbox, imageWidth: number, imageHeight: number): BoxXyxy {
  // By each axis's own ratio: rounding to whole pixels makes them differ a little from `scale`.
  const x = (value: number) => Math.min(imageWidth, Math.max(0, ((value - at.left) * imageWidth) / at.width));
  const y = (value: number) => Math.min(imageHeight, Math.max(0, ((value - at.top) * imageHeight) / at.height));
  return [x(x1), y(y1), x(x2), y(y2)];
}

/** A box of the picture in the pixels of the square. */
export function applyLetterbox([x1, y1, x2, y2]: BoxXyxy, at: Letterbox, imageWidth: number, imageHeight: number): BoxXyxy {
  const x = (value: number) => (value * at.width) / imageWidth + at.left;
  const y = (value: number) => (value * at.height) / imageHeight + at.top;
  return [x(x1), y(y1), x(x2), y(y2)];
}

import type { BoxXyxy } from "./boxes.ts";

/** How a picture was scaled and centred in the model's input, so that boxes can be brought back. */
export interface Letterbox {
  readonly scale: number;
  /** Grey pixels left of and above the picture. */
  readonly left: number;
  readonly top: number;
  /** The picture's size within the input. */
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

/** A picture in the input of a network: where it lies, and how large the input is. */
export interface Frame {
  readonly at: Letterbox;
  readonly width: number;
  readonly height: number;
}

/** A letterbox in the smallest rectangle whose sides are multiples of `stride`: what it leaves out of the square is grey. */
export function rectangle(imageWidth: number, imageHeight: number, side: number, stride: number): Frame {
  const { scale, width, height } = letterbox(imageWidth, imageHeight, side);
  return frame({ scale, width, height }, Math.ceil(width / stride) * stride, Math.ceil(height / stride) * stride);
}

/** A letterbox of `side`, or smaller, in the middle of a square input that has to have `inputSide` pixels. */
export function square(imageWidth: number, imageHeight: number, side: number, inputSide: number): Frame {
  return frame(letterbox(imageWidth, imageHeight, Math.min(side, inputSide)), inputSide, inputSide);
}

function frame({ scale, width, height }: Omit<Letterbox, "left" | "top">, inputWidth: number, inputHeight: number): Frame {
  const [left, top] = [Math.floor((inputWidth - width) / 2), Math.floor((inputHeight - height) / 2)];
  return { at: { scale, left, top, width, height }, width: inputWidth, height: inputHeight };
}

/** A box of the input in the pixels of the picture, clipped to it. */
export function undoLetterbox([x1, y1, x2, y2]: BoxXyxy, at: Letterbox, imageWidth: number, imageHeight: number): BoxXyxy {
  // By each axis's own ratio: rounding to whole pixels makes them differ a little from `scale`.
  const x = (value: number) => Math.min(imageWidth, Math.max(0, ((value - at.left) * imageWidth) / at.width));
  const y = (value: number) => Math.min(imageHeight, Math.max(0, ((value - at.top) * imageHeight) / at.height));
  return [x(x1), y(y1), x(x2), y(y2)];
}

/** A box of the picture in the pixels of the input. */
export function applyLetterbox([x1, y1, x2, y2]: BoxXyxy, at: Letterbox, imageWidth: number, imageHeight: number): BoxXyxy {
  const x = (value: number) => (value * at.width) / imageWidth + at.left;
  const y = (value: number) => (value * at.height) / imageHeight + at.top;
  return [x(x1), y(y1), x(x2), y(y2)];
}

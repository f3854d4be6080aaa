/** Pixels: left, top, right, bottom. */
export type BoxXyxy = readonly [x1: number, y1: number, x2: number, y2: number];

/** A box that a model found. */
export interface Detection {
  readonly box: BoxXyxy;
  readonly score: number;
  /** Index into the model's labels. */
  readonly cls: number;
}

export const areaOf = ([x1, y1, x2, y2]: BoxXyxy): number => Math.max(0, x2 - x1) * Math.max(0, y2 - y1);

/** Intersection over union, 0 … 1; 0 for empty boxes. */
export function iouOf(a: BoxXyxy, b: BoxXyxy): number {
  const width = Math.min(a[2], b[2]) - Math.max(a[0], b[0]);
  const height = Math.min(a[3], b[3]) - Math.max(a[1], b[1]);
  if (width <= 0 || height <= 0) return 0;
  const overlap = width * height;
  return overlap / (areaOf(a) + areaOf(b) - overlap);
}

/** `xywh` normalised to 0 … 1 (centre and size, as in YOLO label files) in the pixels of a picture. */
export function fromYolo([cx, cy, w, h]: readonly [number, number, number, number], width: number, height: number): BoxXyxy {
  return [(cx - w / 2) * width, (cy - h / 2) * height, (cx + w / 2) * width, (cy + h / 2) * height];
}

/** The inverse of `fromYolo`. */
export function toYolo([x1, y1, x2, y2]: BoxXyxy, width: number, height: number): [number, number, number, number] {
  return [(x1 + x2) / 2 / width, (y1 + y2) / 2 / height, (x2 - x1) / width, (y2 - y1) / height];
}

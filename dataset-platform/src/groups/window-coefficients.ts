import { chromaSide, lumaSide, type planesOf } from "./perceptual-hash.ts";

/** A part of the picture when that is brought to 1 × 1. */
export interface Window {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

/** How many cosines stand along each axis: of brightness, and of each colour difference. */
export const lumaCosines = 9;
export const chromaCosines = 3;

/** Cosine coefficients in grey levels, `[v, u]` with u along x; their squares but the first add up to the variance. */
export interface Coefficients {
  readonly luma: Float64Array;
  readonly chroma: readonly [Float64Array, Float64Array];
}

/** Planes of a look, read once. */
export type Planes = ReturnType<typeof planesOf>;

/** The coefficients of what lies in a window, as if the picture had been cropped to it; windows need not fall on cells. */
export function coefficientsOf(planes: Planes, window: Window): Coefficients {
  const [, blue, red] = planes;
  const chroma = (plane: Float64Array) => transform(plane, chromaSide, chromaCosines, window);
  return { luma: lumaOf(planes, window), chroma: [chroma(blue), chroma(red)] };
}

/** Those of brightness alone. */
export function lumaOf([luma]: Planes, window: Window): Float64Array {
  return transform(luma, lumaSide, lumaCosines, window);
}

/** The DCT over a window of a plane whose cells are constant inside: its integrals are exact wherever the window's edges lie. */
export function transform(plane: Float64Array, side: number, count: number, window: Window): Float64Array {
  const [across, down] = [cosines(side, count, window.x, window.width), cosines(side, count, window.y, window.height)];
  const out = new Float64Array(count * count);
  const row = new Float64Array(side);
  for (let v = 0; v < count; v++) {
    row.fill(0);
    for (let y = 0; y < side; y++) {
      const weight = down[v * side + y]!;
      if (weight !== 0) for (let x = 0; x < side; x++) row[x]! += weight * plane[y * side + x]!;
    }
    for (let u = 0; u < count; u++) {
      let sum = 0;
      for (let x = 0; x < side; x++) sum += across[u * side + x]! * row[x]!;
      out[v * count + u] = sum;
    }
  }
  return out;
}

const known = new Map<string, Float64Array>();

/** `[count, side]`: the integral over each cell of √2·cos(πut), t running from 0 to 1 over the window; 1 in place of it for u = 0. */
function cosines(side: number, count: number, start: number, length: number): Float64Array {
  const key = `${side} ${start} ${length}`;
  const before = known.get(key);
  if (before) return before;
  const out = new Float64Array(count * side);
  for (let i = 0; i < side; i++) {
    const from = Math.PI * Math.min(1, Math.max(0, (i / side - start) / length));
    const to = Math.PI * Math.min(1, Math.max(0, ((i + 1) / side - start) / length));
    out[i] = (to - from) / Math.PI;
    // sin(uα) from the two before it: 2 cos(α) sin((u − 1)α) − sin((u − 2)α).
    const [twoCosFrom, twoCosTo] = [2 * Math.cos(from), 2 * Math.cos(to)];
    let [beforeFrom, sinFrom, beforeTo, sinTo] = [0, Math.sin(from), 0, Math.sin(to)];
    for (let u = 1; u < count; u++) {
      out[u * side + i] = (Math.SQRT2 * (sinTo - sinFrom)) / (Math.PI * u);
      [beforeFrom, sinFrom] = [sinFrom, twoCosFrom * sinFrom - beforeFrom];
      [beforeTo, sinTo] = [sinTo, twoCosTo * sinTo - beforeTo];
    }
  }
  // The grid has a few dozen places; aligning closely asks for others, which must not pile up.
  if (known.size < 4096) known.set(key, out);
  return out;
}

/** The standard deviation of brightness in a window, as far as its coefficients tell, grey levels. */
export function contrastOf(luma: Float64Array): number {
  let squares = 0;
  for (let i = 1; i < luma.length; i++) squares += luma[i]! ** 2;
  return Math.sqrt(squares);
}

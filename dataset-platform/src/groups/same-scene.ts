import { chromaCosines, type Coefficients, coefficientsOf, contrastOf, lumaCosines, lumaOf, type Planes, type Window } from "./window-coefficients.ts";

/** The part of a stored picture that is indexed: any crop to 90 % of the sides has all of it. */
export const stored: Window = { x: 0.1, y: 0.1, width: 0.8, height: 0.8 };
/**
 * Where in a new picture that part may lie: at which scale, how far from the middle in steps, and how long a step is. Nine
 * tenths and its inverse are the two directions of a crop, with every place it can have; 1 is a camera that moved.
 */
const scales = [
  { scale: 1, reach: 2, step: 0.025 },
  { scale: 0.9, reach: 2, step: 0.0278 },
  { scale: 1 / 0.9, reach: 2, step: 0.0278 },
  { scale: 0.95, reach: 1, step: 0.025 },
  { scale: 1 / 0.95, reach: 1, step: 0.025 },
] as const;
const windows: readonly Window[] = scales.flatMap(({ scale, reach, step }) => {
  const side = stored.width * scale;
  const places = Array.from({ length: 2 * reach + 1 }, (_, i) => 0.5 - side / 2 + (i - reach) * step);
  return places.flatMap((y) => places.map((x) => ({ x, y, width: side, height: side })));
});

/** Of each coefficient of brightness, u² + v². */
export const frequenciesSquared: readonly number[] = Array.from(
  { length: lumaCosines ** 2 },
  (_, i) => (i % lumaCosines) ** 2 + Math.floor(i / lumaCosines) ** 2,
);

/** Correlation of brightness, and its significance in standard deviations (Fisher's z), from which two pictures are near. */
const leastCorrelation = 0.91;
const leastSignificance = 3.4;
/** On the grid, near pictures correlate less than at the very place: by so much at most. */
const gridLoss = 0.2;
/**
 * How much may have changed: the ratio of contrasts, the means in grey levels, and what is left between the colours in grey
 * levels and as a share of their colourfulness. Pictures that barely correlate may not also be brighter; a surer match may.
 */
const barely: Changes = { contrast: 1.15, brightness: 20, levels: 2, share: 0.12 };
const surely: Changes = { contrast: 1.6, brightness: 75, levels: 3, share: 0.15 };
const sureCorrelation = 0.97;

type Changes = Readonly<Record<"contrast" | "brightness" | "levels" | "share", number>>;

/** What two windows are compared by. */
export interface Described extends Coefficients {
  readonly contrast: number;
  /** Coefficients of brightness, each divided by what is usual at its frequency, to length 1. */
  readonly whitened: Float64Array;
}

export interface Place extends Described {
  readonly window: Window;
}

/** What lies at every place of the grid in a new picture. */
export function placesOf(planes: Planes): Place[] {
  return windows.map((window) => ({ window, ...describe(coefficientsOf(planes, window)) }));
}

export function describe(coefficients: Coefficients): Described {
  return { ...coefficients, contrast: contrastOf(coefficients.luma), whitened: whiten(coefficients.luma) };
}

/** Divides by what is usual: amplitudes of natural pictures fall as 1 / frequency (Field 1987), and 0.4 grey levels are noise. */
function whiten(luma: Float64Array): Float64Array {
  const usual = (0.35 * contrastOf(luma)) ** 2;
  const out = new Float64Array(luma.length);
  let squares = 0;
  for (let i = 1; i < luma.length; i++) {
    out[i] = luma[i]! / Math.sqrt(usual / frequenciesSquared[i]! + 0.4 ** 2);
    squares += out[i]! ** 2;
  }
  const length = Math.sqrt(squares) || 1;
  for (let i = 0; i < out.length; i++) out[i]! /= length;
  return out;
}

/**
 * Finds where in a picture the stored part of another lies, moves there more closely, and compares all that both show: `places`
 * are those of `planes`, and `target` is the stored part of `others`.
 */
export function isSameScene(planes: Planes, places: readonly Place[], others: Planes, target: Described): boolean {
  let best: Fit | undefined;
  for (const place of places) {
    const [plain, mirrored] = correlations(place.whitened, target.whitened);
    const correlation = Math.max(plain, mirrored);
    if (!best || correlation > best.correlation) best = { place, mirrored: mirrored > plain, correlation };
  }
  if (!best || best.correlation < leastCorrelation - gridLoss || !isWithin(surely, best.place, target, best.mirrored)) return false;
  const { mirrored } = best;
  const shown = overlapOf(fit(planes, best, target), mirrored);
  const [mine, theirs] = [describe(coefficientsOf(planes, shown.mine)), describe(coefficientsOf(others, shown.theirs))];
  const correlation = correlations(mine.whitened, theirs.whitened)[mirrored ? 1 : 0];
  if (correlation < leastCorrelation) return false;
  if (Math.atanh(Math.min(correlation, 1 - 1e-9)) * Math.sqrt(freedomOf(theirs.whitened)) < leastSignificance) return false;
  const sure = Math.min(1, (correlation - leastCorrelation) / (sureCorrelation - leastCorrelation));
  const between = (name: keyof Changes) => barely[name] + sure * (surely[name] - barely[name]);
  const most = { contrast: between("contrast"), brightness: between("brightness"), levels: between("levels"), share: between("share") };
  return isWithin(most, mine, theirs, mirrored);
}

/** What both pictures show, in each, where the stored part of theirs lies at `at` in mine. */
function overlapOf(at: Window, mirrored: boolean): { mine: Window; theirs: Window } {
  const across = overlapAlong(mirrored ? 1 - at.x - at.width : at.x, at.width, stored.x, stored.width);
  const down = overlapAlong(at.y, at.height, stored.y, stored.height);
  const mine = { x: mirrored ? 1 - across.mine - across.mineLength : across.mine, y: down.mine, width: across.mineLength, height: down.mineLength };
  return { mine, theirs: { x: across.theirs, y: down.theirs, width: across.theirsLength, height: down.theirsLength } };
}

/** Along one axis, where `length` from `start` in mine shows what `otherLength` from `otherStart` does in theirs. */
function overlapAlong(start: number, length: number, otherStart: number, otherLength: number) {
  const scale = otherLength / length;
  const from = Math.max(0, otherStart - start * scale);
  const to = Math.min(1, otherStart + (1 - start) * scale);
  return { mine: start + (from - otherStart) / scale, mineLength: (to - from) / scale, theirs: from, theirsLength: to - from };
}

/** A place, and whether the target lies there mirrored. */
interface Fit {
  readonly place: Place;
  readonly mirrored: boolean;
  readonly correlation: number;
}

function isWithin(most: Changes, mine: Described, theirs: Described, mirrored: boolean): boolean {
  return (
    ratio(mine.contrast / theirs.contrast) <= most.contrast &&
    Math.abs(mine.luma[0]! - theirs.luma[0]!) <= most.brightness &&
    haveSameColours(mine, theirs, mirrored, most)
  );
}

/** Follows the correlation up from a place of the grid; gives the place. */
function fit(planes: Planes, found: Fit, target: Described): Window {
  let { correlation } = found;
  let { window: at } = found.place;
  for (const by of [0.0125, 0.0125, 0.006])
    for (const [dx, dy, grow] of moves) {
      if (correlation >= sureCorrelation) break;
      const { x, y, width, height } = at;
      const window = { x: x + (dx - grow) * by, y: y + (dy - grow) * by, width: width + 2 * grow * by, height: height + 2 * grow * by };
      if (Math.min(window.x, window.y) < 0 || Math.max(window.x, window.y) + window.width > 1) continue;
      const better = correlations(whiten(lumaOf(planes, window)), target.whitened)[found.mirrored ? 1 : 0];
      if (better > correlation) [at, correlation] = [window, better];
    }
  return at;
}

const moves = [
  [1, 0, 0],
  [-1, 0, 0],
  [0, 1, 0],
  [0, -1, 0],
  [0, 0, 1],
  [0, 0, -1],
] as const;

/** Of two whitened windows as they are, and with one mirrored: cosines of odd u change their sign then. */
function correlations(a: Float64Array, b: Float64Array): [number, number] {
  let [even, odd] = [0, 0];
  for (let v = 0, i = 0; v < lumaCosines; v++)
    for (let u = 0; u < lumaCosines; u++, i++)
      if (u % 2 === 0) even += a[i]! * b[i]!;
      else odd += a[i]! * b[i]!;
  return [even + odd, even - odd];
}

/** How many coefficients carry a picture: one of few correlates by chance. The participation ratio of their squares. */
function freedomOf(whitened: Float64Array): number {
  return 1 / whitened.reduce((sum, value) => sum + value ** 4, 0);
}

/** Whether colours agree, up to as much more or less saturation as contrast may have changed. */
function haveSameColours(a: Coefficients, b: Coefficients, mirrored: boolean, most: Changes): boolean {
  let [aa, ab, bb] = [0, 0, 0];
  for (const [plane, values] of a.chroma.entries())
    for (const [i, value] of values.entries()) {
      const [p, q] = [mirrored && (i % chromaCosines) % 2 === 1 ? -value : value, b.chroma[plane]![i]!];
      aa += p * p;
      ab += p * q;
      bb += q * q;
    }
  const gain = Math.min(1.5, Math.max(1 / 1.5, ab / (bb || 1)));
  const left = Math.sqrt(Math.max(0, aa - 2 * gain * ab + gain * gain * bb));
  return left <= most.levels + most.share * Math.sqrt(Math.max(aa, bb));
}

const ratio = (value: number): number => Math.max(value, 1 / value);

import { type PictureHashes, planesOf } from "./perceptual-hash.ts";
import { describe, frequenciesSquared, isSameScene, placesOf, stored } from "./same-scene.ts";
import { coefficientsOf, contrastOf, lumaCosines, type Planes } from "./window-coefficients.ts";

/** One entry of the index: `band` 0 … 4, and `value` of 20 bits (band 4: 24). Pictures that share one are candidates. */
export interface Band {
  readonly band: number;
  readonly value: number;
}

/** What a picture is searched with: the entries to look up, and whether a picture that one of them found is near. */
export interface Search {
  readonly probes: readonly Band[];
  readonly isNear: (stored: PictureHashes) => boolean;
}

/** Coefficients of brightness by frequency, without the mean: the hash has one bit for each, whether it is positive. */
const order = Array.from({ length: lumaCosines ** 2 - 1 }, (_, i) => i + 1).toSorted((a, b) => frequenciesSquared[a]! - frequenciesSquared[b]! || a - b);
const bands = 4;
const bitsPerBand = order.length / bands;

/** Grey levels that a coefficient must have to count as positive: those of a drawing that are exactly 0 must not waver. */
const positiveFrom = 0.03;

/** Grey levels of standard deviation below which a picture has nothing in it that could be recognised. */
const flatBelow = 1;
/** Flat pictures are near if they differ by less than this, grey levels, and their entries are their colours in steps of it. */
const flatTolerance = 2;
const flatStep = 2 * flatTolerance;

/** The ratio of their shapes at most: a crop of one side alone is still in it. */
const mostShapeRatio = 1.12;

/** The entries under which a picture is to be found: four, or one if it is flat, or five if it is nearly so. */
export function bandsOf(hashes: PictureHashes): Band[] {
  const planes = planesOf(hashes.look);
  const { luma } = coefficientsOf(planes, stored);
  const contrast = contrastOf(luma);
  const found: Band[] = [];
  if (contrast >= flatBelow) for (let band = 0; band < bands; band++) found.push({ band, value: valueOf(luma, band, false) });
  if (contrast < 2 * flatBelow) found.push(...flatBands(planes, [0]));
  return found;
}

/** The entries to look up for a new picture. */
export function probesOf(hashes: PictureHashes): readonly Band[] {
  return searchFor(hashes).probes;
}

/** Whether `picture` shows nearly the same as `stored`: recompressed, resized, brighter, cropped, mirrored, or a moment later. */
export function isNear(picture: PictureHashes, storedPicture: PictureHashes): boolean {
  return searchFor(picture).isNear(storedPicture);
}

/** A search for pictures that are near to one; costs a few milliseconds, and each candidate some microseconds. */
export function searchFor(hashes: PictureHashes): Search {
  const planes = planesOf(hashes.look);
  const places = placesOf(planes);
  const contrast = contrastOf(coefficientsOf(planes, stored).luma);
  const probes = new Map<number, Band>();
  const add = (each: Band) => probes.set(each.band * 2 ** 24 + each.value, each);
  if (contrast >= flatBelow)
    for (const { luma } of places)
      for (const mirrored of [false, true]) for (let band = 0; band < bands; band++) for (const value of valuesNear(luma, band, mirrored)) add({ band, value });
  if (contrast < 2 * flatBelow) for (const each of flatBands(planes, [-0.5, 0.5])) add(each);
  const isNearTo = (other: PictureHashes): boolean => {
    if (hashes.pixels === other.pixels) return true;
    const shapes = (hashes.width / hashes.height) * (other.height / other.width);
    if (Math.max(shapes, 1 / shapes) > mostShapeRatio) return false;
    const otherPlanes = planesOf(other.look);
    const target = describe(coefficientsOf(otherPlanes, stored));
    if (contrast < flatBelow || target.contrast < flatBelow) return isSameColour(planes, otherPlanes);
    return isSameScene(planes, places, otherPlanes, target);
  };
  return { probes: [...probes.values()], isNear: isNearTo };
}

/** A band's bits, the sign of each of its coefficients. */
function valueOf(luma: Float64Array, band: number, mirrored: boolean): number {
  let value = 0;
  for (let bit = 0; bit < bitsPerBand; bit++) if (signedAt(luma, band, bit, mirrored) > positiveFrom) value |= 1 << bit;
  return value;
}

/** A band's value, and those with its two least certain bits turned over: what is nearly 0 has no certain sign. */
function valuesNear(luma: Float64Array, band: number, mirrored: boolean): number[] {
  let [least, second] = [-1, -1];
  let [leastSize, secondSize] = [Infinity, Infinity];
  for (let bit = 0; bit < bitsPerBand; bit++) {
    const size = Math.abs(luma[order[band * bitsPerBand + bit]!]!);
    if (size < leastSize) [second, secondSize, least, leastSize] = [least, leastSize, bit, size];
    else if (size < secondSize) [second, secondSize] = [bit, size];
  }
  const value = valueOf(luma, band, mirrored);
  return [value, value ^ (1 << least), value ^ (1 << second), value ^ (1 << least) ^ (1 << second)];
}

function signedAt(luma: Float64Array, band: number, bit: number, mirrored: boolean): number {
  const at = order[band * bitsPerBand + bit]!;
  return mirrored && (at % lumaCosines) % 2 === 1 ? -luma[at]! : luma[at]!;
}

/** A flat picture's entries: its mean colour in steps, from each of the shifts on each of the three axes. */
function flatBands(planes: Planes, shifts: readonly number[]): Band[] {
  let values = [0];
  for (const plane of planes) {
    const steps = (plane.reduce((sum, each) => sum + each, 0) / plane.length + 128 + flatStep) / flatStep;
    values = values.flatMap((value) => shifts.map((shift) => value * 256 + Math.floor(steps + shift)));
  }
  return [...new Set(values)].map((value) => ({ band: bands, value }));
}

/** Whether two pictures as they stand differ by no more than the tolerance, as the root of the mean square of each plane. */
function isSameColour(a: Planes, b: Planes): boolean {
  const whole = { x: 0, y: 0, width: 1, height: 1 };
  const [one, other] = [coefficientsOf(a, whole), coefficientsOf(b, whole)];
  const isClose = (p: Float64Array, q: Float64Array) => p.reduce((sum, value, i) => sum + (value - q[i]!) ** 2, 0) <= flatTolerance ** 2;
  return isClose(one.luma, other.luma) && isClose(one.chroma[0], other.chroma[0]) && isClose(one.chroma[1], other.chroma[1]);
}

import { type Detection, iouOf } from "./boxes.ts";

export interface NmsOptions {
  /** Detections below this score are dropped. */
  readonly minScore: number;
  /** Of two boxes of one class that overlap more than this, the less sure goes. */
  readonly maxIou: number;
  readonly maxDetections: number;
  /** Classes that count; all where it is left out. */
  readonly classes?: readonly number[] | undefined;
}

/** What validation keeps: everything that could count, as COCO's evaluation expects. */
export const validationNms: NmsOptions = { minScore: 0.001, maxIou: 0.7, maxDetections: 300 };

/** Candidates beyond this many are dropped before boxes are compared: the comparison is quadratic. */
const maxCandidates = 3000;

/** Greedy non-maximum suppression within each class: the kept detections, surest first. */
export function suppress(candidates: readonly Detection[], { maxIou, maxDetections }: Omit<NmsOptions, "minScore">): Detection[] {
  const sorted = candidates.toSorted((a, b) => b.score - a.score).slice(0, maxCandidates);
  const kept: Detection[] = [];
  const keptOfClass = new Map<number, Detection[]>();
  for (const candidate of sorted) {
    if (kept.length >= maxDetections) break;
    let rivals = keptOfClass.get(candidate.cls);
    if (!rivals) keptOfClass.set(candidate.cls, (rivals = []));
    if (rivals.some((rival) => iouOf(rival.box, candidate.box) > maxIou)) continue;
    kept.push(candidate);
    rivals.push(candidate);
  }
  return kept;
}

/**
 * The detections in one picture's raw output.
 *
 * @param output [4 + classes, anchors] float32, row-major: cx, cy, w, h in pixels of the input, then a score for each class
 */
export function detectionsOf(output: Float32Array, classes: number, options: NmsOptions): Detection[] {
  const anchors = output.length / (4 + classes);
  // Places in `output`: with no lowest score there are hundreds of thousands, and most never become a box.
  let places: number[] = [];
  for (let cls = 0; cls < classes; cls++) {
    if (options.classes && !options.classes.includes(cls)) continue;
    const end = (5 + cls) * anchors;
    for (let at = end - anchors; at < end; at++) if (output[at]! > options.minScore) places.push(at);
  }
  if (places.length > maxCandidates) places = surest(output, places);
  const candidates = places.map((at): Detection => {
    const a = at % anchors;
    const [cx, cy, w, h] = [output[a]!, output[anchors + a]!, output[2 * anchors + a]!, output[3 * anchors + a]!];
    return { box: [cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2], score: output[at]!, cls: Math.floor(at / anchors) - 4 };
  });
  return suppress(candidates, options);
}

/** The places of the surest candidates, `maxCandidates` of them; of equals the first. */
function surest(output: Float32Array, places: readonly number[]): number[] {
  const scoreOf = (at: number) => output[at] ?? 0;
  const scores = Float32Array.from(places, scoreOf).sort();
  const lowest = scores[scores.length - maxCandidates]!;
  const above = places.filter((at) => scoreOf(at) > lowest);
  const equal = places.filter((at) => scoreOf(at) === lowest);
  return [...above, ...equal.slice(0, maxCandidates - above.length)].toSorted((a, b) => a - b);
}

/** What `probe.ts` measured. */
export interface Probe {
  /** Whether TensorFlow computes on a GPU. */
  readonly gpu: boolean;
  /** Loss parts (box, cls, dfl) of each step. */
  readonly losses: readonly (readonly number[])[];
  readonly firstStepSeconds: number;
  /** By the median step. */
  readonly imagesPerSecond: number;
}

/** The measurements of a check: on the GPU with its fast maths off (for the comparison) and on, and on the CPU. */
export interface Probes {
  readonly cpu: Probe;
  readonly gpuEager: Probe;
  readonly gpuTraced: Probe;
  readonly gpuFast: Probe;
  /** In bf16; undefined where the GPU cannot. */
  readonly gpuHalf: Probe | undefined;
}

/** One point of the verdict. */
export interface Point {
  readonly good: boolean;
  readonly text: string;
}

/** Losses in bf16 may differ from the CPU's in fp32 by this share: a bfloat16 has 8 bits, and steps build on each other. */
const halfTolerance = 0.1;

/** Losses on the GPU may differ from the CPU's by this share: sums are in another order, and steps build on each other. */
const tolerance = 2e-3;

/** The largest relative difference between two courses of losses. */
export function largestDifference(a: Probe["losses"], b: Probe["losses"]): number {
  const pairs = a.flatMap((step, i) => step.map((value, j) => [value, b[i]?.[j] ?? NaN] as const));
  const differences = pairs.map(([x, y]) => Math.abs(x - y) / Math.max(Math.abs(x), Math.abs(y), 1e-6));
  return differences.some(Number.isNaN) ? Infinity : Math.max(...differences);
}

/** What the measurements say, point by point. */
export function judge({ cpu, gpuEager, gpuTraced, gpuFast, gpuHalf }: Probes): Point[] {
  const points: Point[] = [];
  const used = [gpuEager, gpuTraced, gpuFast].every(({ gpu }) => gpu);
  points.push({ good: used, text: used ? "TensorFlow computes on the GPU" : "TensorFlow does not use the GPU, though one is listed: see the log above" });
  const compare = (name: string, probe: Probe) => {
    const difference = largestDifference(cpu.losses, probe.losses);
    points.push({ good: difference <= tolerance, text: `${name}: losses within ${difference.toExponential(1)} of the CPU's (at most ${tolerance})` });
  };
  compare("eager steps", gpuEager);
  compare("traced steps", gpuTraced);
  const finite = gpuFast.losses.flat().every(Number.isFinite);
  points.push({
    good: finite,
    text: finite ? "losses stay numbers with the GPU's own fast maths" : "losses are no longer numbers with the GPU's own fast maths",
  });
  const ratio = gpuFast.imagesPerSecond / cpu.imagesPerSecond;
  points.push({
    good: ratio > 1,
    text: `${gpuFast.imagesPerSecond.toFixed(1)} images/s, ${ratio.toFixed(1)} × the CPU's ${cpu.imagesPerSecond.toFixed(1)}; recording and first step ${gpuFast.firstStepSeconds.toFixed(1)} s`,
  });
  points.push(halfPoint(cpu, gpuFast, gpuHalf));
  return points;
}

/** What bf16 is worth; a GPU that cannot is none the worse for it. */
function halfPoint(cpu: Probe, gpuFast: Probe, gpuHalf: Probe | undefined): Point {
  if (!gpuHalf) return { good: true, text: "bf16 does not run on this GPU: keep precision fp32" };
  const difference = largestDifference(cpu.losses, gpuHalf.losses);
  const speed = `${(gpuHalf.imagesPerSecond / gpuFast.imagesPerSecond).toFixed(2)} × fp32's images/s`;
  return {
    good: difference <= halfTolerance,
    text: `bf16: losses within ${difference.toExponential(1)} of the CPU's in fp32 (at most ${halfTolerance}), ${speed}`,
  };
}

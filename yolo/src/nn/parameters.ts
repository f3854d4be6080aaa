import { seededRandom } from "../augment/random.ts";
import { type Layers, type ModelConfig, yolov8 } from "./model.ts";

/** One named part of the flat parameter or statistics vector. */
export interface Slot {
  readonly name: string;
  /** Convolutions are [height, width, in, out]; everything else is a vector. */
  readonly shape: readonly number[];
  readonly offset: number;
  readonly length: number;
}

/**
 * Where each parameter stands in one flat vector, in three runs: convolution weights (the only ones that decay), batch
 * norm scales, biases. Optimiser and average then cost a few operations, not a few for each of 183 tensors.
 */
export interface Layout {
  readonly slots: ReadonlyMap<string, Slot>;
  readonly length: number;
  /** Where the scales begin. */
  readonly decayEnd: number;
  /** Where the biases begin. */
  readonly biasStart: number;
  /** Batch norm's running means and variances, in a vector of their own. */
  readonly stats: ReadonlyMap<string, Slot>;
  readonly statsLength: number;
  /** Bias before training, by the name of the head's last convolutions. */
  readonly initialBias: ReadonlyMap<string, number>;
}

/** Batch norm's epsilon and the share of the new batch in its running statistics, as YOLOv5 and its heirs set them. */
export const normEpsilon = 1e-3;
export const normMomentum = 0.03;

/** The layout for a model: found by running the network on channel counts. */
export function layoutOf(config: ModelConfig): Layout {
  const weights: [string, number[]][] = [];
  const scales: [string, number[]][] = [];
  const biases: [string, number[]][] = [];
  const stats: [string, number[]][] = [];
  const initialBias = new Map<string, number>();
  const collector: Layers<number> = {
    conv(name, channels, { out, kernel }) {
      weights.push([`${name}.conv.weight`, [kernel, kernel, channels, out]]);
      scales.push([`${name}.bn.weight`, [out]]);
      biases.push([`${name}.bn.bias`, [out]]);
      stats.push([`${name}.bn.running_mean`, [out]], [`${name}.bn.running_var`, [out]]);
      return out;
    },
    project(name, channels, { out, initial }) {
      weights.push([`${name}.weight`, [1, 1, channels, out]]);
      biases.push([`${name}.bias`, [out]]);
      initialBias.set(`${name}.bias`, initial);
      return out;
    },
    halve: (channels) => [channels / 2, channels / 2],
    concat: (_, xs) => xs.reduce((sum, channels) => sum + channels, 0),
    add: (_, channels) => channels,
    upsample: (channels) => channels,
    maxPool: (channels) => channels,
  };
  yolov8(collector, 3, config);
  const parameters = lay([...weights, ...scales, ...biases]);
  const statistics = lay(stats);
  return {
    slots: parameters.slots,
    length: parameters.length,
    decayEnd: parameters.slots.get(scales[0]![0])!.offset,
    biasStart: parameters.slots.get(biases[0]![0])!.offset,
    stats: statistics.slots,
    statsLength: statistics.length,
    initialBias,
  };
}

function lay(shapes: readonly [string, number[]][]): { slots: Map<string, Slot>; length: number } {
  const slots = new Map<string, Slot>();
  let offset = 0;
  for (const [name, shape] of shapes) {
    const length = shape.reduce((product, side) => product * side, 1);
    slots.set(name, { name, shape, offset, length });
    offset += length;
  }
  return { slots, length: offset };
}

/** Weights of a model as flat float32 vectors in its layout's order. */
export interface Weights {
  readonly parameters: Float32Array;
  readonly stats: Float32Array;
}

/**
 * Fresh weights: convolutions uniform in ±1/√fan-in (He et al., arXiv 1502.01852, with the slope that torch takes for its
 * default), scales 1, biases 0, the head's biases at their priors.
 */
export function initialWeights(layout: Layout, seed: number): Weights {
  const random = seededRandom(seed);
  const parameters = new Float32Array(layout.length);
  for (const { name, shape, offset, length } of layout.slots.values()) {
    const part = parameters.subarray(offset, offset + length);
    if (shape.length === 4) {
      const bound = 1 / Math.sqrt(shape[0]! * shape[1]! * shape[2]!);
      for (let i = 0; i < length; i++) part[i] = (random() * 2 - 1) * bound;
    } else {
      part.fill(name.endsWith(".bn.weight") ? 1 : (layout.initialBias.get(name) ?? 0));
    }
  }
  const stats = new Float32Array(layout.statsLength);
  for (const { name, offset, length } of layout.stats.values()) if (name.endsWith("running_var")) stats.fill(1, offset, offset + length);
  return { parameters, stats };
}

/** The view of one slot in a flat vector. */
export function slice(vector: Float32Array, slot: Slot): Float32Array {
  return vector.subarray(slot.offset, slot.offset + slot.length);
}

/**
 * The convolution that does what convolution and batch norm do together at prediction time: weights [kh, kw, in, out]
 * and bias [out].
 */
export function foldNorm(layout: Layout, weights: Weights, name: string): { kernel: Float32Array; bias: Float32Array; shape: readonly number[] } {
  const slot = layout.slots.get(`${name}.conv.weight`)!;
  const kernel = Float32Array.from(slice(weights.parameters, slot));
  const gamma = slice(weights.parameters, layout.slots.get(`${name}.bn.weight`)!);
  const beta = slice(weights.parameters, layout.slots.get(`${name}.bn.bias`)!);
  const mean = slice(weights.stats, layout.stats.get(`${name}.bn.running_mean`)!);
  const variance = slice(weights.stats, layout.stats.get(`${name}.bn.running_var`)!);
  const out = gamma.length;
  const scale = gamma.map((g, c) => g / Math.sqrt(variance[c]! + normEpsilon));
  for (let i = 0; i < kernel.length; i++) kernel[i] = kernel[i]! * scale[i % out]!;
  return { kernel, bias: beta.map((b, c) => b - mean[c]! * scale[c]!), shape: slot.shape };
}

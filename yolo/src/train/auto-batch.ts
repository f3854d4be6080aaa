import { type Layers, type ModelConfig, yolov8 } from "../nn/model.ts";
import type { Precision } from "../nn/train-layers.ts";
import { layoutOf } from "../nn/parameters.ts";

interface Area {
  readonly cells: number;
  readonly channels: number;
}

/** Numbers that the convolutions of one picture of `side` × `side` give. */
function convolved(config: ModelConfig, side: number): number {
  let total = 0;
  const counter: Layers<Area> = {
    conv(_, { cells }, { out, stride }) {
      const area = { cells: cells / stride ** 2, channels: out };
      total += area.cells * area.channels;
      return area;
    },
    project: (_, { cells }, { out }) => ({ cells, channels: out }),
    halve: ({ cells, channels }) => [
      { cells, channels: channels / 2 },
      { cells, channels: channels / 2 },
    ],
    concat: (_, xs) => ({ cells: xs[0]!.cells, channels: xs.reduce((sum, { channels }) => sum + channels, 0) }),
    add: (_, a) => a,
    upsample: ({ cells, channels }) => ({ cells: cells * 4, channels }),
    maxPool: (x) => x,
  };
  yolov8(counter, { cells: side * side, channels: 3 }, config);
  return total;
}

/** Bytes that a traced step holds at its peak for each number that a convolution gives; measured, see the test. */
const bytesPerNumber: Readonly<Record<Precision, number>> = { fp32: 18.4, bf16: 12 };

/** The process without a model: Node, TensorFlow, ONNX Runtime. */
const baseBytes = 420e6;

/** Vectors of the parameters' length that a step holds: state, gradient, and what the update makes of them. */
const heldVectors = 12;

/** What of a run's options decides the size of its steps. */
interface StepShape {
  readonly side: number;
  readonly precision: Precision;
}

/** The memory that training takes at its peak, bytes: measured on sizes n and s at 320 and 640 px, within a quarter. */
export function trainingBytes(config: ModelConfig, { side, precision }: StepShape, batch: number): number {
  return baseBytes + 4 * heldVectors * layoutOf(config).length + bytesPerNumber[precision] * batch * convolved(config, side);
}

/** More pictures a step make nothing faster on a CPU. */
const largest = 64;

/** The largest batch, a power of two, that takes at most `available` bytes; 1 where nothing fits. */
export function automaticBatch(config: ModelConfig, shape: StepShape, available: number): number {
  let batch = 1;
  while (batch < largest && trainingBytes(config, shape, batch * 2) <= available) batch *= 2;
  return batch;
}

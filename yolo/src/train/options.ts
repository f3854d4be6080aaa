import { type AugmentOptions, defaultAugment } from "../augment/sample.ts";
import type { Size } from "../nn/model.ts";
import type { Precision } from "../nn/train-layers.ts";
import type { OptimizerKind } from "./optimizer.ts";

/** Everything about a run that a person may choose. What decides its result is all here, and in the data. */
export interface TrainOptions {
  readonly size: Size;
  readonly epochs: number;
  /** Hours after which a run ends, at the end of an epoch; the learning rate falls to its last value by then. 0 for no limit. */
  readonly time: number;
  /** Epochs without improvement after which a run ends. */
  readonly patience: number;
  /** Pictures a step; 0 chooses by the memory that is free. */
  readonly batch: number;
  /** Side of the square training pictures, pixels; a multiple of 32. */
  readonly side: number;
  readonly seed: number;
  readonly optimizer: OptimizerKind | "auto";
  /** First learning rate; undefined for the optimiser's own. */
  readonly lr0?: number | undefined;
  /** Last learning rate as a share of the first. */
  readonly lrf: number;
  readonly momentum?: number | undefined;
  readonly weightDecay: number;
  readonly warmupEpochs: number;
  /** Epochs at the end without mosaic; at most a fifth of the run. */
  readonly closeMosaic: number;
  /** Batches whose gradients make one update. */
  readonly accumulate: number;
  /** Modules from the start of the backbone that stay as they are: 0 for none, 10 for the whole backbone. */
  readonly freeze: number;
  /** "traced" runs each step as one TensorFlow graph; "eager" operation by operation, slower and easier to follow. */
  readonly engine: "traced" | "eager";
  /** What a step computes in; "bf16" needs the traced engine, and is fast on CPUs and GPUs that multiply bfloat16. */
  readonly precision: Precision;
  readonly augment: AugmentOptions;
  /** Memory for decoded pictures, in MiB; what does not fit is decoded each time. */
  readonly cacheMiB: number;
  /** A file of weights to begin with: safetensors, ONNX or `.pt`. */
  readonly weights?: string | undefined;
}

/** What a TypeScript module says of a run: some of its options, and of augmentation some of the strengths. */
export type TrainConfig = Partial<Omit<TrainOptions, "augment">> & { readonly augment?: Partial<AugmentOptions> };

export const defaultOptions: TrainOptions = {
  size: "n",
  epochs: 100,
  time: 0,
  patience: 100,
  batch: 16,
  side: 640,
  seed: 0,
  optimizer: "auto",
  lrf: 0.01,
  weightDecay: 5e-4,
  warmupEpochs: 3,
  closeMosaic: 10,
  accumulate: 1,
  freeze: 0,
  engine: "traced",
  precision: "fp32",
  augment: defaultAugment,
  cacheMiB: 1024,
};

/** The backbone's modules in order, which `freeze` counts. */
const backboneModules = ["stem", "down2", "c2", "down3", "c3", "down4", "c4", "down5", "c5", "sppf"] as const;

/** The largest `freeze`. */
export const mostFrozen = backboneModules.length;

/** The beginnings of the names of frozen parameters. */
export const frozenPrefixes = (freeze: number): string[] => backboneModules.slice(0, freeze).map((name) => `backbone.${name}.`);

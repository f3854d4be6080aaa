import type { Weights } from "../nn/parameters.ts";
import type { StepRates, TrainState } from "./optimizer.ts";

/** A batch in ordinary memory. */
export interface HostBatch {
  /** [batch, side, side, 3] uint8 RGB. */
  readonly images: Uint8Array;
  /** [batch, objects, 4] float32, xyxy pixels. */
  readonly boxes: Float32Array;
  /** [batch, objects] class index, −1 for padding. */
  readonly classes: Int32Array;
  /** Padded number of objects a picture. */
  readonly objects: number;
  /** [batch, classes]: 1 where a picture's annotator was asked to mark a class, else 0; without it, all were. */
  readonly asked?: Float32Array;
}

/** The vectors of a training state in ordinary memory: what a checkpoint must hold to go on from it. */
export type HostState = { readonly [name in keyof TrainState]: Float32Array };

/** The names of a training state's vectors, in a fixed order. */
export const stateNames = ["parameters", "first", "second", "gathered", "stats", "averaged", "averagedStats"] as const satisfies (keyof TrainState)[];

/** The state before the first step; `gathers` as in the step's setting. */
export function freshState({ parameters, stats }: Weights, gathers = false): HostState {
  const zeros = new Float32Array(parameters.length);
  return { parameters, first: zeros, second: zeros, gathered: gathers ? zeros : new Float32Array(), stats, averaged: parameters, averagedStats: stats };
}

/** Holds a training state and changes it step by step. Calls block. */
export interface Trainer {
  /** Learns from a batch and gives the loss parts [3]: box, cls, dfl. Without `rates` the gradient is only gathered. */
  step(batch: HostBatch, rates?: StepRates): Float32Array;
  read(): HostState;
  /** The averaged weights alone. */
  averaged(): Weights;
  dispose(): void;
}

import type { TensorAnswer, TensorRequest } from "./tensor-call.ts";
import type { DetectOptions, Found } from "./detector.ts";

/** The first message to a worker: its model, whose file comes through the pipe `modelPipe`. */
export interface LoadMessage {
  readonly kind: "load";
  /** Bytes of the file. */
  readonly onnxBytes: number;
  readonly labels: readonly string[];
  readonly side: number;
  readonly threads: number;
  /** The most pictures of a run. */
  readonly maxBatch: number;
  /** With "auto" the worker tries whether more than one is worth it. */
  readonly batching: "auto" | "always";
}

/** The worker's file descriptor that its model's file is read from, once. Beside standard input, output, error and Node's own channel. */
export const modelPipe = 4;

/** A picture to detect objects in. */
export interface DetectJob {
  readonly kind: "detect";
  readonly image: Uint8Array;
  readonly options: DetectOptions;
  /** Also draws the boxes. */
  readonly draw: boolean;
}

/** A raw call of the Open Inference Protocol. */
export interface TensorJob extends TensorRequest {
  readonly kind: "tensor";
}

export type Job = DetectJob | TensorJob;

/** What a job gives. */
export type JobResult = DetectResult | TensorAnswer;

export interface DetectResult {
  readonly found: Found;
  /** JPEG, where it was asked for. */
  readonly drawn?: Uint8Array;
}

export type ToWorker =
  | LoadMessage
  | { readonly kind: "batch"; readonly jobs: readonly { readonly id: number; readonly job: Job }[] }
  | { readonly kind: "cancel"; readonly id: number };

export type FromWorker =
  | { readonly kind: "ready"; readonly batch: number }
  | { readonly kind: "unfit"; readonly message: string }
  | { readonly kind: "done"; readonly id: number; readonly result: JobResult }
  | { readonly kind: "failed"; readonly id: number; readonly message: string; readonly isClients: boolean };

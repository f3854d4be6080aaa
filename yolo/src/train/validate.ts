import { once } from "node:events";
import { availableParallelism } from "node:os";
import type { Worker } from "node:worker_threads";
import { lossMeans, type LossSums } from "../loss/host-loss.ts";
import { evaluate, type Evaluated, type Metrics } from "../metrics/average-precision.ts";
import type { ModelConfig } from "../nn/model.ts";
import type { Layout, Weights } from "../nn/parameters.ts";
import { exportRawOnnx } from "../onnx/export.ts";
import type { PictureFile } from "./pictures.ts";
import { startWorker } from "./start-worker.ts";

/** What a model made of the validation pictures. */
export interface Validation {
  readonly metrics: Metrics;
  /** Means over the batches: box, cls, dfl. */
  readonly losses: readonly [number, number, number];
  /** Objects and detections of each picture in the order of the files, in the pixels of the scaled picture. */
  readonly evaluated: readonly Evaluated[];
  readonly seconds: number;
}

export interface ValidatorOptions {
  readonly config: ModelConfig;
  readonly layout: Layout;
  readonly side: number;
  /** Pictures whose losses are divided by one sum of target scores, as in a training step. */
  readonly batch: number;
  readonly cacheBytes: number;
}

/** What one of the validator's threads has to know. */
export interface ValidationShare {
  readonly files: readonly PictureFile[];
  readonly classes: number;
  readonly side: number;
  readonly cacheBytes: number;
  /** ONNX Runtime's threads in this thread. */
  readonly threads: number;
}

/** A picture's objects and detections in its own pixels, and its part of the losses. */
export interface MeasuredPicture extends Evaluated {
  readonly losses: LossSums;
}

/** Each of the validator's threads holds the model and its intermediate values once. */
const mostThreads = 4;

/**
 * Measures weights on a split, through ONNX Runtime: it is twice as fast as TensorFlow here, and what will serve the model.
 * Pictures go one by one through threads of their own, each padded no further than the network needs (rectangular
 * validation): a picture's intermediate values then stay in a core's cache, and no core waits for boxes and losses.
 */
export class Validator {
  readonly #options: ValidatorOptions;
  readonly #files: readonly PictureFile[];
  readonly #threads: { readonly worker: Worker; readonly ended: Promise<unknown> }[] = [];

  constructor(files: readonly PictureFile[], options: ValidatorOptions) {
    this.#options = options;
    this.#files = files;
  }

  async run(weights: Weights): Promise<Validation> {
    const started = performance.now();
    const { config, layout, batch } = this.#options;
    if (this.#threads.length === 0) this.#start();
    const onnx = exportRawOnnx(config, layout, weights);
    const answers = await Promise.all(this.#threads.map(({ worker }) => ask(worker, onnx)));
    const measured = this.#files.map((_, i) => answers[i % answers.length]![Math.floor(i / answers.length)]!);
    const sums: [number, number, number] = [0, 0, 0];
    const batches = Math.ceil(measured.length / batch);
    for (let i = 0; i < batches; i++) {
      const together: LossSums = { box: 0, cls: 0, dfl: 0, weight: 0 };
      for (const { losses } of measured.slice(i * batch, (i + 1) * batch))
        for (const part of ["box", "cls", "dfl", "weight"] as const) together[part] += losses[part];
      lossMeans(together).forEach((loss, part) => (sums[part]! += loss));
    }
    const evaluated = measured.map(({ objects, detections, asked }) => ({ objects, detections, asked }));
    const losses = sums.map((sum) => sum / batches) as [number, number, number];
    return { metrics: evaluate(evaluated, config.classes), losses, evaluated, seconds: (performance.now() - started) / 1000 };
  }

  /** Ends the threads; one that still measures does so first, since what runs natively cannot be cut off. */
  async dispose(): Promise<void> {
    const threads = this.#threads.splice(0);
    for (const { worker } of threads) worker.postMessage("end");
    await Promise.all(threads.map(({ ended }) => ended));
  }

  /** Picture i belongs to thread i mod their number, so that each is decoded and kept in one place. */
  #start(): void {
    const { config, side, cacheBytes } = this.#options;
    const cores = availableParallelism();
    const count = Math.max(1, Math.min(cores, mostThreads, this.#files.length));
    for (let n = 0; n < count; n++) {
      const share: ValidationShare = {
        files: this.#files.filter((_, i) => i % count === n),
        classes: config.classes,
        side,
        cacheBytes: cacheBytes / count,
        threads: Math.max(1, Math.floor(cores / count)),
      };
      const worker = startWorker(new URL("./validation-worker.ts", import.meta.url), share);
      this.#threads.push({ worker, ended: new Promise((resolve) => worker.once("exit", resolve)) });
    }
  }
}

/** A thread's pictures, measured; rejects with what ended it. */
async function ask(worker: Worker, onnx: Uint8Array): Promise<MeasuredPicture[]> {
  worker.postMessage(onnx);
  const [measured] = (await once(worker, "message")) as [MeasuredPicture[]];
  return measured;
}

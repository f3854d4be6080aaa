import { InferenceSession, Tensor } from "onnxruntime-node";
import { framePixels } from "../boxes/frame-pixels.ts";
import { suppress, validationNms } from "../boxes/nms.ts";
import { decodeLevels, type RawLevel } from "../boxes/raw-levels.ts";
import { addHostLoss, lossMeans, type LossSums } from "../loss/host-loss.ts";
import { evaluate, type Evaluated, type Metrics } from "../metrics/average-precision.ts";
import { bins, type ModelConfig, strides } from "../nn/model.ts";
import type { Layout, Weights } from "../nn/parameters.ts";
import { exportRawOnnx } from "../onnx/export.ts";
import { type PictureFile, pictureSource } from "./pictures.ts";

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
  readonly batch: number;
  readonly cacheBytes: number;
}

const coarsest = Math.max(...strides);
const rounded = (length: number) => Math.ceil(length / coarsest) * coarsest;

/**
 * Measures weights on a split. Pictures of one shape go together, each padded no further than the network needs
 * (rectangular validation), through ONNX Runtime: it is twice as fast as TensorFlow here, and what will serve the model.
 */
export class Validator {
  readonly #options: ValidatorOptions;
  readonly #files: readonly PictureFile[];
  readonly #pictures: ReturnType<typeof pictureSource>;
  /** Batches of indices into the files, found at the first run. */
  #batches: readonly (readonly number[])[] | undefined;

  constructor(files: readonly PictureFile[], options: ValidatorOptions) {
    this.#options = options;
    this.#files = files;
    this.#pictures = pictureSource(files, options.side, options.cacheBytes);
  }

  async run(weights: Weights): Promise<Validation> {
    const started = performance.now();
    const { config, layout } = this.#options;
    const session = await InferenceSession.create(exportRawOnnx(config, layout, weights), { logSeverityLevel: 3 });
    const evaluated: Evaluated[] = [];
    const sums: [number, number, number] = [0, 0, 0];
    try {
      this.#batches ??= await this.#sortIntoBatches();
      for (const indices of this.#batches) await this.#measure(session, indices, evaluated, sums);
    } finally {
      await session.release();
    }
    const count = this.#batches.length;
    const losses = sums.map((sum) => sum / count) as [number, number, number];
    return { metrics: evaluate(evaluated, config.classes), losses, evaluated, seconds: (performance.now() - started) / 1000 };
  }

  /** Pictures by shape; all of them are decoded once for it. */
  async #sortIntoBatches(): Promise<number[][]> {
    const byShape = new Map<string, number[]>();
    for (let i = 0; i < this.#files.length; i++) {
      const { width, height } = await this.#pictures.get(i);
      const key = `${rounded(width)}×${rounded(height)}`;
      byShape.set(key, [...(byShape.get(key) ?? []), i]);
    }
    const { batch } = this.#options;
    return [...byShape.values()].flatMap((indices) =>
      Array.from({ length: Math.ceil(indices.length / batch) }, (_, i) => indices.slice(i * batch, (i + 1) * batch)),
    );
  }

  /** Predicts a batch, and adds its detections and losses to what was found before. */
  async #measure(session: InferenceSession, indices: readonly number[], evaluated: Evaluated[], sums: [number, number, number]): Promise<void> {
    const pictures = await Promise.all(indices.map((index) => this.#pictures.get(index)));
    const [width, height] = [rounded(pictures[0]!.width), rounded(pictures[0]!.height)];
    // Centred on the smallest grey rectangle that the network takes.
    const placed = pictures.map((picture) => ({
      ...picture,
      left: Math.floor((width - picture.width) / 2),
      top: Math.floor((height - picture.height) / 2),
    }));
    const outputs = await session.run({ pixels: new Tensor("uint8", framePixels(placed, width, height), [pictures.length, height, width, 3]) });
    const raw = strides.map((_, i) => ({ box: outputs[`box${i + 3}`]!, cls: outputs[`cls${i + 3}`]! }));
    const losses: LossSums = { box: 0, cls: 0, dfl: 0, weight: 0 };
    placed.forEach(({ objects: known, left, top }, n) => {
      const levels = raw.map(({ box, cls }): RawLevel => {
        const [, , rows, columns] = box.dims as [number, number, number, number];
        const part = ({ data }: { data: unknown }, channels: number) =>
          (data as Float32Array).subarray(n * channels * rows * columns, (n + 1) * channels * rows * columns);
        return { box: part(box, 4 * bins), cls: part(cls, this.#options.config.classes), height: rows, width: columns };
      });
      const found = suppress(decodeLevels(levels, this.#options.config.classes, validationNms.minScore), validationNms);
      const objects = known.map(({ box, cls }) => ({ cls, box: [box[0] + left, box[1] + top, box[2] + left, box[3] + top] as const }));
      addHostLoss(losses, levels, this.#options.config.classes, objects);
      const detections = found.map(({ box, ...rest }) => ({ ...rest, box: [box[0] - left, box[1] - top, box[2] - left, box[3] - top] as const }));
      evaluated[indices[n]!] = { objects: known, detections };
    });
    lossMeans(losses).forEach((loss, i) => (sums[i]! += loss));
  }
}

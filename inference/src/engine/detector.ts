import type { Detection } from "@airloom/yolo/boxes/boxes.ts";
import { framePixels } from "@airloom/yolo/boxes/frame-pixels.ts";
import { type Frame, padGrey, rectangle, square, undoLetterbox } from "@airloom/yolo/boxes/letterbox.ts";
import { detectionsOf, type NmsOptions } from "@airloom/yolo/boxes/nms.ts";
import { InferenceSession, Tensor } from "onnxruntime-node";
import { withPixelInput } from "./pixel-input.ts";
import { prepare, type Prepared } from "./preprocess.ts";

/** What was found in one picture, boxes in its own pixels as a person sees it, and how long each part took. */
export interface Found {
  readonly width: number;
  readonly height: number;
  readonly detections: readonly Detection[];
  readonly speedMs: { readonly preprocess: number; readonly inference: number; readonly postprocess: number };
}

export interface DetectOptions extends NmsOptions {
  /** The longer side that the picture is scaled to, pixels; the model's own where it is left out. */
  readonly side?: number | undefined;
}

/** A model to be loaded. */
export interface DetectorOptions {
  readonly labels: readonly string[];
  /** The side that the model was trained at, pixels. */
  readonly side: number;
  readonly threads: number;
}

/** A picture that is decoded and waits for the network. */
export interface Ready {
  readonly prepared: Prepared;
  readonly options: NmsOptions;
  readonly preprocessMs: number;
}

/** The network's largest stride: input sides are multiples of it. */
const stride = 32;

/** Batches that are tried when a model is loaded, and by how much a picture must get cheaper in them. */
const triedBatch = 4;
const worthwhile = 0.9;

/** A detection model in ONNX Runtime. */
export class Detector {
  readonly #onnx: Uint8Array;
  readonly #options: DetectorOptions;
  /** The model with pictures' bytes as its input. */
  readonly #session: InferenceSession;
  /** The model as it is, for who brings tensors; made when the first does. */
  #plain: Promise<InferenceSession> | undefined;
  /** The input's side where the model allows no other. */
  readonly #fixed: number | undefined;

  private constructor(onnx: Uint8Array, options: DetectorOptions, session: InferenceSession, fixed: number | undefined) {
    this.#onnx = onnx;
    this.#options = options;
    this.#session = session;
    this.#fixed = fixed;
  }

  /** Loads a model and runs it once on grey, so that the first request finds it warm; throws where it does not fit. */
  static async load(onnx: Uint8Array, options: DetectorOptions): Promise<Detector> {
    const { labels, side } = options;
    const pixels = withPixelInput(onnx);
    if (pixels.fixedSide !== undefined && pixels.fixedSide !== side)
      throw new Error(`the model's input has ${pixels.fixedSide} pixels a side, and its manifest says ${side}: they do not fit`);
    const detector = new Detector(onnx, options, await open(pixels.onnx, options), pixels.fixedSide);
    const { dims } = await detector.#grey(1);
    if (dims.length !== 3 || dims[1] !== 4 + labels.length)
      throw new Error(`the model's output is [${dims.join(", ")}], and ${labels.length} labels need [1, ${4 + labels.length}, anchors]: they do not fit`);
    return detector;
  }

  /** Where a picture lies in the model's input: the smallest rectangle, or the square of a model that takes no other. */
  frameOf(width: number, height: number, side = this.#options.side): Frame {
    return this.#fixed === undefined ? rectangle(width, height, side, stride) : square(width, height, side, this.#fixed);
  }

  /** Decodes and scales a picture; this does not wait for the network. */
  async ready(image: Buffer, { side, ...options }: DetectOptions): Promise<Ready> {
    const started = performance.now();
    const prepared = await prepare(image, (width, height) => this.frameOf(width, height, side));
    return { prepared, options, preprocessMs: performance.now() - started };
  }

  /** Detects in pictures at once; those of one input size share a run. The results are in the pictures' order. */
  async detectReady(pictures: readonly Ready[]): Promise<Found[]> {
    const bySize = new Map<string, number[]>();
    pictures.forEach(({ prepared: { frame } }, i) => {
      const size = `${frame.width}×${frame.height}`;
      bySize.set(size, [...(bySize.get(size) ?? []), i]);
    });
    const found: Found[] = [];
    for (const indices of bySize.values()) {
      const group = indices.map((i) => pictures[i]!);
      (await this.#detectAlike(group)).forEach((each, n) => (found[indices[n]!] = each));
    }
    return found;
  }

  async detect(image: Buffer, options: DetectOptions): Promise<Found> {
    return (await this.detectReady([await this.ready(image, options)]))[0]!;
  }

  async #detectAlike(group: readonly Ready[]): Promise<Found[]> {
    const { width, height } = group[0]!.prepared.frame;
    const started = performance.now();
    const placed = group.map(({ prepared: { pixels: own, frame } }) => ({ ...frame.at, pixels: own }));
    const pixels = framePixels(placed, width, height);
    const filled = performance.now();
    const output = await this.#run(new Tensor("uint8", pixels, [group.length, height, width, 3]));
    const ran = performance.now();
    const length = output.data.length / group.length;
    return group.map(({ prepared, options, preprocessMs }, n) => {
      const from = performance.now();
      const values = (output.data as Float32Array).subarray(n * length, (n + 1) * length);
      const detections = detectionsOf(values, this.#options.labels.length, options).map((each) => ({
        ...each,
        box: undoLetterbox(each.box, prepared.frame.at, prepared.width, prepared.height),
      }));
      const speedMs = {
        preprocess: preprocessMs + (filled - started) / group.length,
        inference: (ran - filled) / group.length,
        postprocess: performance.now() - from,
      };
      return { width: prepared.width, height: prepared.height, detections, speedMs };
    });
  }

  async #run(pixels: Tensor): Promise<Tensor> {
    return outputOf(await this.#session.run({ pixels }));
  }

  /** The raw output for a raw input: `images` [n, 3, height, width] float32 → `output0` [n, 4 + classes, anchors]. */
  async run(images: Tensor): Promise<Tensor> {
    this.#plain ??= open(this.#onnx, this.#options);
    return outputOf(await (await this.#plain).run({ images }));
  }

  async #grey(count: number): Promise<Tensor> {
    const side = this.#fixed ?? this.#options.side;
    return this.#run(new Tensor("uint8", new Uint8Array(count * 3 * side * side).fill(padGrey), [count, side, side, 3]));
  }

  /** How many pictures to run at once, up to `most`: more than one only where that makes a picture cheaper, which is tried. */
  async bestBatch(most: number): Promise<number> {
    if (most < 2) return 1;
    const count = Math.min(triedBatch, most);
    const seconds = async (pictures: number) => {
      const started = performance.now();
      await this.#grey(pictures);
      return (performance.now() - started) / pictures;
    };
    try {
      // The first run of a size also plans its memory.
      await seconds(count);
      const [one, many] = [await seconds(1), await seconds(count)];
      return many < one * worthwhile ? most : 1;
    } catch {
      // A model whose batch is fixed.
      return 1;
    }
  }

  /** Runs that many pictures at once and gives their number; throws where the model does not take them. */
  async tryBatch(count: number): Promise<number> {
    await this.#grey(count);
    return count;
  }

  async dispose(): Promise<void> {
    await this.#session.release();
    await (await this.#plain)?.release();
  }
}

const open = (onnx: Uint8Array, { threads }: DetectorOptions) =>
  InferenceSession.create(onnx, { intraOpNumThreads: threads, interOpNumThreads: 1, logSeverityLevel: 3 });

function outputOf({ output0 }: InferenceSession.OnnxValueMapType): Tensor {
  if (!output0) throw new Error("the model has no output named output0");
  return output0;
}

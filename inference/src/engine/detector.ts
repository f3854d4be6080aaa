import type { Detection } from "@airloom/yolo/boxes/boxes.ts";
import { type Frame, rectangle, square, undoLetterbox } from "@airloom/yolo/boxes/letterbox.ts";
import { detectionsOf, type NmsOptions } from "@airloom/yolo/boxes/nms.ts";
import { InferenceSession, Tensor } from "onnxruntime-node";
import { fillPlanes, prepare, type Prepared } from "./preprocess.ts";

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
  readonly #session: InferenceSession;
  readonly #classes: number;
  readonly side: number;
  /** The input's side where the model allows no other. */
  readonly #fixed: number | undefined;
  /** The input of the last run, used again by the next of its size. */
  #values = new Float32Array(0);

  private constructor(session: InferenceSession, { labels, side }: DetectorOptions) {
    this.#session = session;
    this.#classes = labels.length;
    this.side = side;
    this.#fixed = fixedSide(session);
  }

  /** Loads a model and runs it once on grey, so that the first request finds it warm; throws where it does not fit. */
  static async load(onnx: Uint8Array, options: DetectorOptions): Promise<Detector> {
    const { labels, side, threads } = options;
    const session = await InferenceSession.create(onnx, { intraOpNumThreads: threads, interOpNumThreads: 1, logSeverityLevel: 3 });
    const detector = new Detector(session, options);
    if (detector.#fixed !== undefined && detector.#fixed !== side)
      throw new Error(`the model's input has ${detector.#fixed} pixels a side, and its manifest says ${side}: they do not fit`);
    const { dims } = await detector.#grey(1);
    if (dims.length !== 3 || dims[1] !== 4 + labels.length)
      throw new Error(`the model's output is [${dims.join(", ")}], and ${labels.length} labels need [1, ${4 + labels.length}, anchors]: they do not fit`);
    return detector;
  }

  /** Where a picture lies in the model's input: the smallest rectangle, or the square of a model that takes no other. */
  frameOf(width: number, height: number, side = this.side): Frame {
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
    const size = 3 * width * height;
    const started = performance.now();
    if (this.#values.length !== group.length * size) this.#values = new Float32Array(group.length * size);
    group.forEach(({ prepared }, n) => fillPlanes(this.#values.subarray(n * size, (n + 1) * size), prepared));
    const filled = performance.now();
    const output = await this.run(new Tensor("float32", this.#values, [group.length, 3, height, width]));
    const ran = performance.now();
    const length = output.data.length / group.length;
    return group.map(({ prepared, options, preprocessMs }, n) => {
      const from = performance.now();
      const values = (output.data as Float32Array).subarray(n * length, (n + 1) * length);
      const detections = detectionsOf(values, this.#classes, options).map((each) => ({
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

  /** The raw output for a raw input: `images` [n, 3, height, width] → `output0` [n, 4 + classes, anchors]. */
  async run(images: Tensor): Promise<Tensor> {
    const { output0 } = await this.#session.run({ images });
    if (!output0) throw new Error("the model has no output named output0");
    return output0;
  }

  async #grey(count: number): Promise<Tensor> {
    const side = this.#fixed ?? this.side;
    return this.run(new Tensor("float32", new Float32Array(count * 3 * side * side).fill(114 / 255), [count, 3, side, side]));
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

  async dispose(): Promise<void> {
    await this.#session.release();
  }
}

/** The side of a square input that is written into the model; undefined where height and width are free. */
function fixedSide(session: InferenceSession): number | undefined {
  const input = session.inputMetadata.find(({ name }) => name === "images");
  if (!input?.isTensor) throw new Error('the model has no tensor "images" as its input');
  const [, , height, width] = input.shape;
  if (typeof height !== "number" && typeof width !== "number") return undefined;
  if (typeof height !== "number" || height !== width)
    throw new Error(`the model's input is [${input.shape.join(", ")}]: a square, or free sides, are expected`);
  return height;
}

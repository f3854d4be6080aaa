import { type Detection } from "@airloom/yolo/boxes/boxes.ts";
import { undoLetterbox } from "@airloom/yolo/boxes/letterbox.ts";
import { detectionsOf, type NmsOptions } from "@airloom/yolo/boxes/nms.ts";
import { InferenceSession, Tensor } from "onnxruntime-node";
import { prepare } from "./preprocess.ts";

/** What was found in one picture, boxes in its own pixels as a person sees it, and how long each part took. */
export interface Found {
  readonly width: number;
  readonly height: number;
  readonly detections: readonly Detection[];
  readonly speedMs: { readonly preprocess: number; readonly inference: number; readonly postprocess: number };
}

/** A detection model in ONNX Runtime. */
export class Detector {
  readonly #session: InferenceSession;
  readonly #classes: number;
  readonly #side: number;

  private constructor(session: InferenceSession, classes: number, side: number) {
    this.#session = session;
    this.#classes = classes;
    this.#side = side;
  }

  /** Loads a model and runs it once on grey, so that the first request finds it warm; throws where it does not fit. */
  static async load(onnx: Uint8Array, { labels, side, threads }: { labels: readonly string[]; side: number; threads: number }): Promise<Detector> {
    const session = await InferenceSession.create(onnx, { intraOpNumThreads: threads, interOpNumThreads: 1 });
    const detector = new Detector(session, labels.length, side);
    const { dims } = await detector.#run(new Float32Array(3 * side * side).fill(114 / 255));
    if (dims.length !== 3 || dims[1] !== 4 + labels.length)
      throw new Error(`the model's output is [${dims.join(", ")}], and ${labels.length} labels need [1, ${4 + labels.length}, anchors]: they do not fit`);
    return detector;
  }

  async detect(image: Buffer, options: NmsOptions): Promise<Found> {
    const t0 = performance.now();
    const { values, at, width, height } = await prepare(image, this.#side);
    const t1 = performance.now();
    const output = (await this.#run(values)).data as Float32Array;
    const t2 = performance.now();
    const detections = detectionsOf(output, this.#classes, options).map((found) => ({ ...found, box: undoLetterbox(found.box, at, width, height) }));
    return { width, height, detections, speedMs: { preprocess: t1 - t0, inference: t2 - t1, postprocess: performance.now() - t2 } };
  }

  /** The raw output, [1, 4 + classes, anchors] float32, for one prepared picture. */
  async #run(values: Float32Array): Promise<Tensor> {
    const input = new Tensor("float32", values, [1, 3, this.#side, this.#side]);
    const { output0 } = await this.#session.run({ images: input });
    if (!output0) throw new Error("the model has no output named output0");
    return output0;
  }

  async dispose(): Promise<void> {
    await this.#session.release();
  }
}

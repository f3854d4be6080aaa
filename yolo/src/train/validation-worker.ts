// A thread of validation: finds what a model makes of its share of the pictures, one after the other.
import { parentPort, workerData } from "node:worker_threads";
import { InferenceSession, Tensor } from "onnxruntime-node";
import type { Picture } from "../augment/sample.ts";
import { framePixels } from "../boxes/frame-pixels.ts";
import { rectangle } from "../boxes/letterbox.ts";
import { suppress, validationNms } from "../boxes/nms.ts";
import { decodeLevels, type RawLevel } from "../boxes/raw-levels.ts";
import { addHostLoss } from "../loss/host-loss.ts";
import { strides } from "../nn/model.ts";
import { pictureSource } from "./pictures.ts";
import type { MeasuredPicture, ValidationShare } from "./validate.ts";

const { files, classes, side, cacheBytes, threads } = workerData as ValidationShare;
const pictures = pictureSource(files, side, cacheBytes);
const coarsest = Math.max(...strides);

async function measureAll(onnx: Uint8Array): Promise<MeasuredPicture[]> {
  const session = await InferenceSession.create(onnx, { intraOpNumThreads: threads, logSeverityLevel: 3 });
  try {
    const measured: MeasuredPicture[] = [];
    let next: Promise<Picture> | undefined;
    for (let i = 0; i < files.length; i++) {
      const picture = await (next ?? pictures.get(i));
      // The next one is decoded while the network runs; if it cannot be, that is told when its turn comes.
      next = i + 1 < files.length ? pictures.get(i + 1) : undefined;
      next?.catch(() => undefined);
      measured.push(await measure(session, picture));
    }
    return measured;
  } finally {
    await session.release();
  }
}

/** Runs a picture in the middle of the smallest grey rectangle that the network takes. */
async function measure(session: InferenceSession, picture: Picture): Promise<MeasuredPicture> {
  const { at, width, height } = rectangle(picture.width, picture.height, side, coarsest);
  const { left, top } = at;
  const pixels = framePixels([{ ...picture, left, top }], width, height);
  const outputs = await session.run({ pixels: new Tensor("uint8", pixels, [1, height, width, 3]) });
  const levels = strides.map((stride, i): RawLevel => {
    const [box, cls] = [outputs[`box${i + 3}`]!, outputs[`cls${i + 3}`]!].map(({ data }) => data as Float32Array) as [Float32Array, Float32Array];
    return { box, cls, height: height / stride, width: width / stride };
  });
  const found = suppress(decodeLevels(levels, classes, validationNms.minScore), validationNms);
  const losses = { box: 0, cls: 0, dfl: 0, weight: 0 };
  const placed = picture.objects.map(({ box, cls }) => ({ cls, box: [box[0] + left, box[1] + top, box[2] + left, box[3] + top] as const }));
  addHostLoss(losses, levels, classes, placed, picture.asked);
  const detections = found.map(({ box, ...rest }) => ({ ...rest, box: [box[0] - left, box[1] - top, box[2] - left, box[3] - top] as const }));
  return { objects: picture.objects, asked: picture.asked, detections, losses };
}

const port = parentPort!;
port.on("message", (onnx: Uint8Array | "end") => {
  if (onnx === "end") {
    port.close();
    return;
  }
  measureAll(onnx).then(
    (measured) => port.postMessage(measured),
    // It ends the thread with its error, which the validator hands on.
    (error: unknown) =>
      queueMicrotask(() => {
        throw error;
      }),
  );
});

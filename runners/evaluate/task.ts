import { readFile } from "node:fs/promises";
import path from "node:path";
import { task, TerminalError } from "airloom";
import { platformSettings } from "../platform/settings.ts";

export interface Evaluation {
  readonly map50: number;
  readonly map: number;
  readonly images: number;
}

/** How far the served model may be from the trainer on the same pictures: resizing goes by slightly different ways. */
const agreement = 0.05;

/** Measures the exported ONNX on the validation split, through the code that serves it, and holds it against the trainer. */
export const evaluateModel = task(
  "evaluate_model",
  { timeout: "6h" },
  async (
    input: { dataset: { folder: string }; trained: { folder: string; runId: string; map50: number; epochs: number }; imgsz: number },
    { log },
  ): Promise<Evaluation> => {
    const { readDataFile } = await import("@airloom/dataset-platform/versions/export-version.ts");
    const { Detector } = await import("@airloom/inference/engine/detector.ts");
    const { evaluate } = await import("@airloom/yolo/metrics/average-precision.ts");
    const { fromYolo } = await import("@airloom/yolo/boxes/boxes.ts");
    const { validationNms } = await import("@airloom/yolo/boxes/nms.ts");
    const { MlflowClient } = await import("../platform/mlflow.ts");
    const data = await readDataFile(input.dataset.folder);
    const detector = await Detector.load(await readFile(path.join(input.trained.folder, "best.onnx")), { labels: data.labels, side: input.imgsz, threads: 2 });
    const pictures = [];
    for (const { image, objects } of data.validation) {
      const found = await detector.detect(await readFile(path.join(input.dataset.folder, image)), validationNms);
      pictures.push({ detections: found.detections, objects: objects.map(({ cls, xywh }) => ({ cls, box: fromYolo(xywh, found.width, found.height) })) });
    }
    await detector.dispose();
    const metrics = evaluate(pictures, data.labels.length);
    for (const { cls, objects, ap50, ap } of metrics.classes)
      log.info(`${data.labels[cls]}: ${objects} objects, AP50 ${ap50.toFixed(3)}, AP50-95 ${ap.toFixed(3)}`);
    log.info(`ONNX on ${pictures.length} validation images: mAP50 ${metrics.map50.toFixed(3)}, mAP50-95 ${metrics.map.toFixed(3)}`);
    const off = Math.abs(metrics.map50 - input.trained.map50);
    if (off > agreement)
      throw new TerminalError(
        `the ONNX model's mAP50 is ${metrics.map50.toFixed(3)} and the trainer's ${input.trained.map50.toFixed(3)}: they do not agree, so the model is not published`,
      );
    const timestamp = Date.now();
    const entries = { "onnx/mAP50B": metrics.map50, "onnx/mAP50-95B": metrics.map };
    await new MlflowClient(platformSettings().mlflowUrl).logMetrics(
      input.trained.runId,
      Object.entries(entries).map(([key, value]) => ({ key, value, step: input.trained.epochs, timestamp })),
    );
    return { map50: metrics.map50, map: metrics.map, images: pictures.length };
  },
);

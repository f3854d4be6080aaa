import { readFile } from "node:fs/promises";
import path from "node:path";
import { task } from "airloom";
import { platformSettings } from "../platform/settings.ts";
import type { OnnxModel } from "./measure.ts";

export interface Evaluation {
  readonly map50: number;
  readonly map: number;
  readonly images: number;
  /** Whether it takes the champion's place, and why. */
  readonly promote: boolean;
  /** The file to be served: best.onnx, or best.int8.onnx where it was asked for and is as good. */
  readonly file: string;
  readonly reasons: readonly string[];
}

/**
 * Measures the exported ONNX on the validation split, through the code that serves it; holds it against the trainer, and
 * against the model that is published now, on the same pictures.
 */
export const evaluateModel = task(
  "evaluate_model",
  { timeout: "6h" },
  async (
    input: {
      dataset: { folder: string };
      trained: { folder: string; runId: string; map50: number; epochs: number };
      imgsz: number;
      /** Publishes whatever the comparison says. */
      force: boolean;
      /** Serves the 8-bit model if it is as good. */
      int8: boolean;
    },
    { log },
  ): Promise<Evaluation> => {
    const { readDataFile } = await import("@airloom/dataset-platform/versions/export-version.ts");
    const { decide, judge, measured } = await import("./gate.ts");
    const { measureOnnx } = await import("./measure.ts");
    const { exportedPictures } = await import("../train/read-data.ts");
    const { MlflowClient } = await import("../platform/mlflow.ts");
    const { model, mlflowUrl } = platformSettings();
    const data = await readDataFile(input.dataset.folder);
    const pictures = exportedPictures(input.dataset.folder, data.validation);
    const onnx = await readFile(path.join(input.trained.folder, "best.onnx"));
    const metrics = await measureOnnx({ onnx, labels: data.labels, side: input.imgsz }, pictures, data.labels);
    for (const { cls, objects, ap50, ap } of metrics.classes)
      log.info(`${data.labels[cls]}: ${objects} objects, AP50 ${ap50.toFixed(3)}, AP50-95 ${ap.toFixed(3)}`);
    log.info(`ONNX on ${pictures.length} validation images: mAP50 ${metrics.map50.toFixed(3)}, mAP50-95 ${metrics.map.toFixed(3)}`);
    // Told, and no reason for anything: a test part that decided would be one more part for validation.
    const unseen = exportedPictures(input.dataset.folder, data.test);
    const tested = unseen.length > 0 ? await measureOnnx({ onnx, labels: data.labels, side: input.imgsz }, unseen, data.labels) : undefined;
    if (tested) log.info(`ONNX on ${unseen.length} test images: mAP50 ${tested.map50.toFixed(3)}, mAP50-95 ${tested.map.toFixed(3)}`);

    const champion = await publishedModel(model).catch((error: unknown) => {
      log.warn(`the published model cannot be compared with: ${(error as Error).message}`);
      return undefined;
    });
    const theirs = champion && measured(await measureOnnx(champion, pictures, data.labels), champion.labels);
    const judged = judge(measured(metrics, data.labels), theirs, data.labels, champion?.labels ?? []);
    const verdict = decide(judged, { onnxMap50: metrics.map50, trainerMap50: input.trained.map50, force: input.force });
    log.info(`${verdict.promote ? "to be published" : "not to be published"}: ${verdict.reasons.join("; ")}`);

    const small = input.int8
      ? await smallModel(
          input.trained.folder,
          (int8) => measureOnnx({ onnx: int8, labels: data.labels, side: input.imgsz }, pictures, data.labels),
          metrics.map,
        )
      : undefined;
    if (small) log.info(small.said);

    const timestamp = Date.now();
    const entries = {
      "onnx/mAP50B": metrics.map50,
      "onnx/mAP50-95B": metrics.map,
      ...(tested && { "test/mAP50B": tested.map50, "test/mAP50-95B": tested.map }),
      ...(small && { "int8/mAP50-95B": small.map }),
      ...(theirs && { "champion/mAP50B": theirs.map50, "champion/mAP50-95B": theirs.map }),
    };
    const mlflow = new MlflowClient(mlflowUrl);
    await mlflow.logMetrics(
      input.trained.runId,
      Object.entries(entries).map(([key, value]) => ({ key, value, step: input.trained.epochs, timestamp })),
    );
    await mlflow.setTag(input.trained.runId, "airloom.gate", `${verdict.promote ? "promoted" : "refused"}: ${verdict.reasons.join("; ")}`.slice(0, 4000));
    return { map50: metrics.map50, map: metrics.map, images: pictures.length, file: small?.isGood ? "best.int8.onnx" : "best.onnx", ...verdict };
  },
);

/** What serves now; undefined where nothing does. */
async function publishedModel(folder: string): Promise<OnnxModel | undefined> {
  const { readModelFiles, tryReadManifest } = await import("@airloom/inference/model/manifest.ts");
  const manifest = await tryReadManifest(folder);
  return manifest && { labels: manifest.labels, onnx: (await readModelFiles(folder, manifest)).onnx, side: manifest.imgsz };
}

/** How much of mAP50-95 the 8-bit model may lose. */
const int8Margin = 0.01;

/** Whether the 8-bit model in a run's folder is as good as the other. */
async function smallModel(
  folder: string,
  measure: (onnx: Buffer) => Promise<{ map: number }>,
  full: number,
): Promise<{ isGood: boolean; map: number; said: string }> {
  const { map } = await measure(await readFile(path.join(folder, "best.int8.onnx")));
  const isGood = map >= full - int8Margin;
  return {
    isGood,
    map,
    said: `in 8 bits: mAP50-95 ${map.toFixed(3)} against ${full.toFixed(3)}, ${isGood ? "to be served" : `worse by more than ${int8Margin}, so the full model is served`}`,
  };
}

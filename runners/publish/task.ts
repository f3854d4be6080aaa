import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import path from "node:path";
import { Skip, task } from "airloom";
import { withRegistry } from "../platform/registry.ts";
import { platformSettings } from "../platform/settings.ts";

interface PublishInput {
  readonly registered: { readonly name: string; readonly version: string };
  readonly trained: { readonly folder: string; readonly runId: string };
  readonly evaluation: { readonly map50: number; readonly map: number; readonly promote: boolean; readonly file: string; readonly reasons: readonly string[] };
  readonly dataset: { readonly folder: string; readonly commit: string; readonly labels: readonly string[] };
  readonly imgsz: number;
}

/** Puts the model where the inference service looks: files first, the manifest last, each whole or not at all. */
export const publishModel = task("publish_model", { timeout: "30m" }, async (input: PublishInput, context): Promise<{ sha256: string; folder: string }> => {
  const { log, run } = context;
  if (!input.evaluation.promote)
    throw new Skip(
      `${input.registered.name} version ${input.registered.version} is registered but not published: ${input.evaluation.reasons.join("; ")}. The model before it keeps serving; force_publish in the conf publishes all the same.`,
    );
  const { readDataFile } = await import("@airloom/dataset-platform/versions/export-version.ts");
  const { chooseCanary } = await import("./choose-canary.ts");
  const { canaryFile, publishVersion } = await import("./model-folder.ts");
  const { recordPublished } = await import("@airloom/dataset-platform/registry/models.ts");
  const { model } = platformSettings();
  const { trained, registered, evaluation, dataset, imgsz } = input;
  const onnx = await readFile(path.join(trained.folder, evaluation.file));
  const sha256 = createHash("sha256").update(onnx).digest("hex");
  const files = new Map<string, Uint8Array>();
  // The full model is there in each case, for whoever looks for it under its name.
  for (const name of ["best.pt", "best.safetensors", "best.onnx"]) files.set(name, await readFile(path.join(trained.folder, name)));
  files.set(evaluation.file, onnx);

  const { validation } = await readDataFile(dataset.folder);
  const chosen = await chooseCanary(
    onnx,
    { labels: dataset.labels, side: imgsz },
    validation.map(({ image }) => path.join(dataset.folder, image)),
  );
  const canary = chosen && (await canaryFile(chosen.image));
  if (canary) files.set(canary.name, canary.data);
  const manifest = {
    name: registered.name,
    version: registered.version,
    file: evaluation.file,
    sha256,
    labels: [...dataset.labels],
    imgsz,
    runId: trained.runId,
    datasetCommit: dataset.commit,
    airflow: { dagId: run.dagId, runId: run.runId },
    metrics: { mAP50: evaluation.map50, "mAP50-95": evaluation.map },
    createdAt: new Date().toISOString(),
    ...(chosen && canary ? { canary: { file: canary.name, detections: chosen.detections } } : {}),
  };
  await publishVersion(model, manifest, files);
  await withRegistry(context, (registry) => registry.transaction((trx) => recordPublished(trx, manifest.name, manifest.version, run)));
  log.info(`${manifest.name} version ${manifest.version} is in ${model}: the inference service takes it within seconds`);
  log.info(
    chosen
      ? `its canary picture has ${chosen.detections.length} objects`
      : "it has no canary picture: the model is sure of nothing in the pictures that were tried",
  );
  return { sha256, folder: model };
});

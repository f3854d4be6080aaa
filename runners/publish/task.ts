import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import path from "node:path";
import { Skip, task } from "airloom";
import { platformSettings } from "../platform/settings.ts";

interface PublishInput {
  readonly registered: { readonly name: string; readonly version: string };
  readonly trained: { readonly folder: string; readonly runId: string };
  readonly evaluation: { readonly map50: number; readonly map: number; readonly promote: boolean; readonly file: string; readonly reasons: readonly string[] };
  readonly dataset: { readonly commit: string; readonly labels: readonly string[] };
  readonly imgsz: number;
}

/** Puts the model where the inference service looks: files first, the manifest last, each whole or not at all. */
export const publishModel = task("publish_model", { timeout: "30m" }, async (input: PublishInput, { log }): Promise<{ sha256: string; folder: string }> => {
  if (!input.evaluation.promote)
    throw new Skip(
      `${input.registered.name} version ${input.registered.version} is registered but not published: ${input.evaluation.reasons.join("; ")}. The model before it keeps serving; force_publish in the conf publishes all the same.`,
    );
  const { atomicWrite } = await import("@airloom/dataset-platform/store/atomic-write.ts");
  const { model } = platformSettings();
  const onnx = await readFile(path.join(input.trained.folder, input.evaluation.file));
  const sha256 = createHash("sha256").update(onnx).digest("hex");
  const manifest = {
    name: input.registered.name,
    version: input.registered.version,
    file: input.evaluation.file,
    sha256,
    labels: input.dataset.labels,
    imgsz: input.imgsz,
    runId: input.trained.runId,
    datasetCommit: input.dataset.commit,
    metrics: { mAP50: input.evaluation.map50, "mAP50-95": input.evaluation.map },
    createdAt: new Date().toISOString(),
  };
  for (const name of ["best.pt", "best.safetensors"]) await atomicWrite(path.join(model, name), await readFile(path.join(input.trained.folder, name)));
  // The full one is there as well, for whoever looks for it under its name; the served one comes last.
  if (input.evaluation.file !== "best.onnx") await atomicWrite(path.join(model, "best.onnx"), await readFile(path.join(input.trained.folder, "best.onnx")));
  await atomicWrite(path.join(model, input.evaluation.file), onnx);
  await atomicWrite(path.join(model, "manifest.json"), `${JSON.stringify(manifest, null, 2)}\n`);
  log.info(`${manifest.name} version ${manifest.version} is in ${model}: the inference service takes it within seconds`);
  return { sha256, folder: model };
});

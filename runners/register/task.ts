import path from "node:path";
import { task } from "airloom";
import { withRegistry } from "../platform/registry.ts";
import { platformSettings } from "../platform/settings.ts";

export interface Registered {
  readonly name: string;
  readonly version: string;
}

/** Registers the model in MLflow under its name, as a new version; it gets the alias `champion` if it is to be published. */
export const registerModel = task(
  "register_model",
  { timeout: "1h" },
  async (
    input: {
      modelName: string;
      trained: { folder: string; runId: string; experimentId: string };
      evaluation: { promote: boolean; reasons: readonly string[] };
      dataset: { commit: string };
    },
    context,
  ): Promise<Registered> => {
    const { log, run } = context;
    const { MlflowClient } = await import("../platform/mlflow.ts");
    const { recordModel } = await import("@airloom/dataset-platform/registry/models.ts");
    const { hashOf } = await import("@airloom/dataset-platform/store/file-facts.ts");
    const mlflow = new MlflowClient(platformSettings().mlflowUrl);
    const { folder, runId, experimentId } = input.trained;
    const files = ["best.onnx", "best.int8.onnx", "best.pt", "best.safetensors"].map((name) => path.join(folder, name));
    const modelId = await mlflow.logModel(experimentId, runId, input.modelName, files);
    const version = await mlflow.registerModel(input.modelName, modelId, runId);
    const hashes = Object.fromEntries(await Promise.all(files.map(async (file) => [path.basename(file), await hashOf(file, "sha256")] as const)));
    const model = { name: input.modelName, version, mlflowRun: runId, datasetCommit: input.dataset.commit, files: hashes };
    await withRegistry(context, (registry) => registry.transaction((trx) => recordModel(trx, model, run)));
    const { promote, reasons } = input.evaluation;
    if (promote) await mlflow.setAlias(input.modelName, version, "champion");
    await mlflow.setVersionTag(input.modelName, version, "gate", `${promote ? "promoted" : "refused"}: ${reasons.join("; ")}`.slice(0, 4000));
    log.info(`${input.modelName} version ${version}: ${mlflow.url}/#/models/${encodeURIComponent(input.modelName)}/versions/${version}`);
    return { name: input.modelName, version };
  },
);

import { createHash } from "node:crypto";
import { recordPublished } from "@airloom/dataset-platform/registry/models.ts";
import { publishVersion } from "../../../runners/publish/model-folder.ts";
import { atStepPlace, stepRun } from "./place.ts";

const version = process.env["FAULTS_VERSION"] ?? "7";
const files = new Map(["best.pt", "best.safetensors", "best.onnx", "canary.png"].map((name) => [name, Buffer.alloc(10_000, `${name} ${version} `)]));
const manifest = {
  name: "cars",
  version,
  file: "best.onnx",
  sha256: createHash("sha256").update(files.get("best.onnx")!).digest("hex"),
  labels: ["car"],
  imgsz: 64,
  runId: "mlflow-run",
  datasetCommit: "c",
  metrics: { mAP50: 0.5 },
  createdAt: `2026-01-0${version}T00:00:00.000Z`,
  canary: { file: "canary.png", detections: [] },
};
await atStepPlace(async ({ registry, model }) => {
  await publishVersion(model, manifest, files);
  await registry.transaction((trx) => recordPublished(trx, manifest.name, version, stepRun("publish_model")));
});

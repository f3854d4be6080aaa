import express, { type Request, type Response, Router } from "express";
import { RefusedError } from "../engine/model-pool.ts";
import type { ModelHost } from "../model/model-host.ts";
import { specOf } from "../model/manifest.ts";
import { ApiError } from "./api-error.ts";
import { abandonment, poolFor } from "./predict.ts";

/** The most bytes of a call: 16 pictures of 640 × 640 as float32 take 79 MB, one as JSON takes about 12. */
const maxBodyBytes = 96 * 1024 * 1024;

const jsonLengthHeader = "Inference-Header-Content-Length";

/** Open Inference Protocol v2, for clients of KServe and Triton: raw tensors in, raw tensors out. */
export function tensorRoutes(host: ModelHost, { name, version }: { name: string; version: string }): Router {
  const router = Router();
  const body = express.raw({ type: () => true, limit: maxBodyBytes });
  const ready = () => host.current !== undefined;

  router.get("/", (_req, res) => void res.json({ name, version, extensions: ["binary_tensor_data"] }));
  router.get("/health/live", (_req, res) => void res.json({ live: true }));
  router.get("/health/ready", (_req, res) => void res.status(ready() ? 200 : 503).json({ ready: ready() }));
  router.get(["/models/:model/ready", "/models/:model/versions/:version/ready"], async (req, res) => {
    const pool = await poolFor(host, specIn(req));
    res.json({ name: pool.manifest.name, ready: true });
  });
  router.get(["/models/:model", "/models/:model/versions/:version"], async (req, res) => {
    const { manifest } = await poolFor(host, specIn(req));
    res.json({
      name: manifest.name,
      versions: [manifest.version],
      platform: "onnxruntime_onnx",
      inputs: [{ name: "images", datatype: "FP32", shape: [-1, 3, manifest.imgsz, manifest.imgsz] }],
      outputs: [{ name: "output0", datatype: "FP32", shape: [-1, 4 + manifest.labels.length, -1] }],
    });
  });
  router.post(["/models/:model/infer", "/models/:model/versions/:version/infer"], body, async (req: Request, res: Response) => {
    const pool = await poolFor(host, specIn(req));
    const { manifest } = pool;
    const model = { name: manifest.name, version: manifest.version };
    if (!Buffer.isBuffer(req.body)) throw new ApiError(400, "no_body", "the call has no body");
    const answer = await pool.tensor({ body: req.body, jsonLength: jsonLengthIn(req), model }, abandonment(res)).catch((error: unknown) => {
      throw error instanceof RefusedError ? new ApiError(400, "bad_call", error.message) : error;
    });
    if (answer.jsonLength !== undefined) res.set(jsonLengthHeader, String(answer.jsonLength)).type("application/octet-stream");
    else res.type("application/json");
    res.send(Buffer.from(answer.body.buffer, answer.body.byteOffset, answer.body.byteLength));
  });
  return router;
}

function specIn(req: Request): string {
  const { model, version } = req.params as { model: string; version?: string };
  return version === undefined ? model : specOf({ name: model, version });
}

function jsonLengthIn(req: Request): number | undefined {
  const text = req.get(jsonLengthHeader);
  if (text === undefined) return undefined;
  if (!/^\d{1,9}$/.test(text)) throw new ApiError(400, "bad_call", `${jsonLengthHeader} has to be a number of bytes`);
  return Number(text);
}

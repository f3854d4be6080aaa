import { setMaxListeners } from "node:events";
import type { Request, RequestHandler, Response } from "express";
import type { DetectResult } from "../engine/messages.ts";
import type { ModelPool } from "../engine/model-pool.ts";
import type { Feedback } from "../feedback/feedback.ts";
import type { ModelHost } from "../model/model-host.ts";
import { ApiError } from "./api-error.ts";
import { defaultFormat, predictionId, roboflowFormat } from "./formats.ts";
import type { ServiceMetrics } from "./metrics.ts";
import { classIndices, type PredictOptions, readOptions } from "./options.ts";
import { logOf } from "./request-log.ts";

/** The model of a request; throws where there is none. */
export async function poolFor(host: ModelHost, spec: string | undefined): Promise<ModelPool> {
  const pool = await host.pool(spec);
  if (pool) return pool;
  const why = host.status.problem ? ` (${host.status.problem})` : "";
  throw new ApiError(503, "no_model", `there is no model yet${why}: trigger training_pipeline in Airflow; the model is served as soon as it is published`, {
    "Retry-After": "30",
  });
}

/** Refuses a request before its body is read, where its pictures would be refused in any case. */
export function refuseWhenFull(host: ModelHost): RequestHandler {
  return (req, _res, next) => {
    readOptions(req.query);
    if (host.current?.isFull) throw new ApiError(429, "busy", "too many pictures wait already: try again in a second", { "Retry-After": "1" });
    next();
  };
}

/** Aborts when the client goes away before it has its answer. */
export function abandonment(res: Response): AbortSignal {
  const controller = new AbortController();
  res.once("close", () => {
    if (!res.writableFinished) controller.abort(new ApiError(499, "gone", "the client has gone away"));
  });
  return controller.signal;
}

/** Answers `POST /predict`. */
export function predictHandler(host: ModelHost, metrics: ServiceMetrics, feedback: Feedback | undefined) {
  return async (req: Request, res: Response): Promise<void> => {
    const options = readOptions(req.query, req.body as Record<string, unknown> | undefined);
    const pictures = readPictures(req);
    const wanted = req.accepts(["application/json", "image/jpeg"]);
    if (!wanted) throw new ApiError(406, "not_acceptable", "answers are application/json or image/jpeg");
    const draw = wanted === "image/jpeg";
    if (draw && pictures.length > 1) throw new ApiError(400, "one_picture", `image/jpeg answers one picture, and ${pictures.length} came`);
    const pool = await poolFor(host, options.model);
    const results = await detectAll(pool, pictures, options, draw, abandonment(res));
    for (const { found } of results) for (const [stage, ms] of Object.entries(found.speedMs)) metrics.stages.observe({ stage }, ms / 1000);
    const id = predictionId(pool.manifest);
    res.set("Vary", "Accept").set("X-Prediction-Id", id);
    if (draw) res.type("image/jpeg").send(Buffer.from(results[0]!.drawn!));
    else {
      const found = results.map((result) => result.found);
      res.json(options.format === "roboflow" ? roboflowFormat(found, pool.manifest) : defaultFormat(found, pool.manifest, id));
    }
    if (!feedback) return;
    for (const [i, { found }] of results.entries()) if (await feedback.offer(pictures[i]!, found, pool.manifest, logOf(res))) metrics.feedback.inc();
  };
}

function readPictures(req: Request): Buffer[] {
  const files = (req.files ?? []) as Express.Multer.File[];
  if (files.length === 0)
    throw new ApiError(
      400,
      "no_file",
      'the request has no file: send the picture as multipart/form-data in a field named "file", as in curl -F "file=@test.jpg"',
    );
  for (const { size, originalname } of files)
    if (size === 0) throw new ApiError(400, "empty_file", `the file ${JSON.stringify(originalname.slice(0, 100))} is empty`);
  return files.map(({ buffer }) => buffer);
}

/** Several pictures are answered together: where one fails, the others are given up. */
async function detectAll(pool: ModelPool, pictures: readonly Buffer[], options: PredictOptions, draw: boolean, gone: AbortSignal): Promise<DetectResult[]> {
  const failed = new AbortController();
  const signal = AbortSignal.any([gone, failed.signal]);
  // Each picture listens.
  setMaxListeners(pictures.length, signal);
  const { labels } = pool.manifest;
  const how = {
    minScore: options.conf,
    maxIou: options.iou,
    maxDetections: options.max_det,
    side: options.imgsz,
    classes: classIndices(options.classes, labels),
  };
  try {
    return await Promise.all(pictures.map((image) => pool.detect({ image, options: how, draw }, signal)));
  } catch (error) {
    failed.abort(error);
    throw error;
  }
}

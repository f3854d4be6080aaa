import type { Request, Response } from "express";
import { z } from "zod";
import { BadImageError } from "../engine/preprocess.ts";
import type { ModelHost } from "../model/model-host.ts";

/** An answer that is not a success. */
export class ApiError extends Error {
  readonly status: number;
  readonly code: string;
  readonly headers: Readonly<Record<string, string>>;
  constructor(status: number, code: string, message: string, headers: Readonly<Record<string, string>> = {}) {
    super(message);
    this.status = status;
    this.code = code;
    this.headers = headers;
  }
}

const share = (initial: number) => z.coerce.number().min(0).max(1).default(initial);
const querySchema = z.object({ conf: share(0.25), iou: share(0.7), max_det: z.coerce.number().int().min(1).max(1000).default(300) });

/** Pictures that wait for one model; beyond it the client is asked to come back. */
const maxPending = 64;

/** Answers `POST /predict`. */
export function predictHandler(host: ModelHost) {
  return async (req: Request, res: Response): Promise<void> => {
    const query = querySchema.safeParse(req.query);
    if (!query.success) throw new ApiError(422, "bad_query", z.prettifyError(query.error).replace(/\s*\n\s*/g, " "));
    const file = req.file;
    if (!file)
      throw new ApiError(
        400,
        "no_file",
        'the request has no file: send the picture as multipart/form-data in a field named "file", as in curl -F "file=@test.jpg"',
      );
    if (file.size === 0) throw new ApiError(400, "empty_file", "the file is empty");
    const model = host.current;
    if (!model) {
      const why = host.status.problem ? ` (${host.status.problem})` : "";
      throw new ApiError(503, "no_model", `there is no model yet${why}: trigger training_pipeline in Airflow; the model is served as soon as it is published`, {
        "Retry-After": "30",
      });
    }
    if (model.pending >= maxPending) throw new ApiError(429, "busy", `${maxPending} pictures wait already: try again in a second`, { "Retry-After": "1" });
    const { conf, iou, max_det } = query.data;
    try {
      const found = await model.detect(file.buffer, { minScore: conf, maxIou: iou, maxDetections: max_det });
      const { labels, name, version, sha256, runId, datasetCommit } = model.manifest;
      const results = found.detections.map(({ box: [x1, y1, x2, y2], score, cls }) => ({
        class: cls,
        name: labels[cls]!,
        confidence: round(score, 5),
        box: { x1: round(x1, 2), y1: round(y1, 2), x2: round(x2, 2), y2: round(y2, 2) },
      }));
      const { preprocess, inference, postprocess } = found.speedMs;
      const speed = { preprocess: round(preprocess, 2), inference: round(inference, 2), postprocess: round(postprocess, 2) };
      res.json({ images: [{ shape: [found.height, found.width], results, speed }], metadata: { model: { name, version, sha256, runId, datasetCommit } } });
    } catch (error) {
      if (error instanceof BadImageError) throw new ApiError(415, "bad_image", error.message);
      throw error;
    }
  };
}

const round = (value: number, digits: number) => Number(value.toFixed(digits));

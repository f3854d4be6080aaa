import type { ErrorRequestHandler } from "express";
import { MulterError } from "multer";
import { BusyError, RefusedError, UnavailableError } from "../engine/model-pool.ts";
import { UnknownModelError } from "../model/model-host.ts";
import { ApiError } from "./api-error.ts";
import type { ServiceMetrics } from "./metrics.ts";
import { logOf } from "./request-log.ts";
import { uploadLimits } from "./upload.ts";

/** Tells the client what is wrong: `{error: {code, message}}`, or `{error}` for clients of the Open Inference Protocol. */
export function answerFailures(metrics: ServiceMetrics): ErrorRequestHandler {
  return (error: unknown, req, res, next) => {
    const known = toApiError(error);
    if (!known && !req.destroyed) logOf(res).error({ err: error }, "request failed");
    const { status, code, message, headers } = known ?? new ApiError(500, "internal", "something went wrong here; the service's log says what");
    if (status !== 404) metrics.refused.inc({ code });
    if (res.headersSent) return next(error);
    res
      .status(status)
      .set(headers)
      .json(req.path.startsWith("/v2") ? { error: message } : { error: { code, message } });
  };
}

function toApiError(error: unknown): ApiError | undefined {
  if (error instanceof ApiError) return error;
  if (error instanceof RefusedError) return new ApiError(415, "bad_image", error.message);
  if (error instanceof UnknownModelError) return new ApiError(404, "no_such_model", error.message);
  if (error instanceof BusyError) return new ApiError(429, "busy", `${error.message}: try again in a second`, { "Retry-After": "1" });
  if (error instanceof UnavailableError) return new ApiError(503, "unavailable", `${error.message}: try again`, { "Retry-After": "1" });
  if (error instanceof MulterError) return ofForm(error);
  const { status } = error as { status?: number };
  if (status && status >= 400 && status < 500) return new ApiError(status, "bad_request", (error as Error).message);
  // busboy's complaints about a broken multipart body carry no code of their own.
  if (error instanceof Error && /multipart|boundary|unexpected end of form|malformed part|unsupported content/i.test(error.message))
    return new ApiError(400, "bad_form", `the multipart body is broken: ${error.message}`);
  return undefined;
}

function ofForm({ code, field = "", message }: MulterError): ApiError {
  if (code === "LIMIT_FILE_SIZE") return new ApiError(413, "too_large", `a file is larger than ${uploadLimits.fileBytes / 1024 / 1024} MiB`);
  // A file too many is told in the same way as one in another field.
  if (code === "LIMIT_FILE_COUNT" || code === "LIMIT_PART_COUNT" || (code === "LIMIT_UNEXPECTED_FILE" && field === "file"))
    return new ApiError(413, "too_many", `a request may have ${uploadLimits.files} files and ${uploadLimits.fields} other fields`);
  if (code === "LIMIT_UNEXPECTED_FILE")
    return new ApiError(400, "unexpected_file", `send pictures in fields named "file"; this one came in ${JSON.stringify(field.slice(0, 100))}`);
  return new ApiError(400, "bad_form", message);
}

import { createRequire } from "node:module";
import path from "node:path";
import express, { type ErrorRequestHandler, type Express } from "express";
import multer, { MulterError } from "multer";
import type { Logger } from "pino";
import { openApiDocument } from "./http/openapi.ts";
import { ApiError, predictHandler } from "./http/predict.ts";
import type { ModelHost } from "./model/model-host.ts";

/** The most bytes of a picture. */
export const maxFileBytes = 32 * 1024 * 1024;

export const serviceVersion = "0.1.0";

/** The service without a port: `main.ts` listens, and tests call it. */
export function inferenceApp(host: ModelHost, log: Logger): Express {
  const app = express();
  app.disable("x-powered-by");
  app.use((_req, res, next) => {
    res.set({ "X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY" });
    next();
  });
  const upload = multer({ storage: multer.memoryStorage(), limits: { fileSize: maxFileBytes, files: 1, fields: 10, fieldSize: 4096, parts: 12 } });

  app.post("/predict", upload.single("file"), predictHandler(host));
  app.get("/healthz", (_req, res) => void res.json({ status: "ok" }));
  app.get("/readyz", (_req, res) => {
    const { model, problem } = host.status;
    res.status(model ? 200 : 503).json({ ready: model !== undefined, ...(model ? { model } : {}), ...(problem ? { problem } : {}) });
  });
  app.get("/openapi.json", (_req, res) => void res.json(openApiDocument(serviceVersion)));
  app.get("/", (_req, res) => res.redirect("/docs"));

  // Swagger UI from its package: it works without the internet.
  const swagger = path.dirname(createRequire(import.meta.url).resolve("swagger-ui-dist/package.json"));
  app.get(["/docs", "/docs/"], (req, res) => void (req.path === "/docs" ? res.redirect("/docs/") : res.type("html").send(docsPage)));
  app.get("/docs/start.js", (_req, res) => void res.type("js").send('SwaggerUIBundle({ url: "/openapi.json", dom_id: "#swagger-ui" });'));
  app.use("/docs", express.static(swagger, { index: false }));

  app.use((_req, _res, next) => next(new ApiError(404, "not_found", "there is nothing here: see /docs")));
  app.use(errors(log));
  return app;
}

const docsPage = `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Airloom inference</title><link rel="stylesheet" href="/docs/swagger-ui.css"></head>
<body><div id="swagger-ui"></div><script src="/docs/swagger-ui-bundle.js"></script><script src="/docs/start.js"></script></body></html>`;

function errors(log: Logger): ErrorRequestHandler {
  return (error: unknown, req, res, next) => {
    if (res.headersSent) return next(error);
    const known = toApiError(error);
    if (!known) log.error({ err: error, path: req.path }, "request failed");
    const { status, code, message, headers } = known ?? new ApiError(500, "internal", "something went wrong here; the service's log says what");
    res.status(status).set(headers).json({ error: { code, message } });
  };
}

function toApiError(error: unknown): ApiError | undefined {
  if (error instanceof ApiError) return error;
  if (error instanceof MulterError) {
    if (error.code === "LIMIT_FILE_SIZE") return new ApiError(413, "too_large", `the file is larger than ${maxFileBytes / 1024 / 1024} MiB`);
    if (error.code === "LIMIT_UNEXPECTED_FILE")
      return new ApiError(400, "unexpected_file", `send one file, in a field named "file"; this one came in "${error.field ?? "?"}"`);
    return new ApiError(400, "bad_form", error.message);
  }
  const { status } = error as { status?: number };
  if (status && status >= 400 && status < 500) return new ApiError(status, "bad_request", (error as Error).message);
  // busboy's complaints about a broken multipart body carry no code of their own.
  if (error instanceof Error && /multipart|boundary|unexpected end of form|malformed part/i.test(error.message))
    return new ApiError(400, "bad_form", `the multipart body is broken: ${error.message}`);
  return undefined;
}

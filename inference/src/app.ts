import { createRequire } from "node:module";
import path from "node:path";
import { fileURLToPath } from "node:url";
import express, { type Express } from "express";
import type { Logger } from "pino";
import type { Feedback } from "./feedback/feedback.ts";
import { requireKey } from "./http/access.ts";
import { ApiError } from "./http/api-error.ts";
import { answerFailures } from "./http/failures.ts";
import type { ServiceMetrics } from "./http/metrics.ts";
import { openApiDocument } from "./http/openapi.ts";
import { predictHandler, refuseWhenFull } from "./http/predict.ts";
import { requestLog } from "./http/request-log.ts";
import { tensorRoutes } from "./http/tensor-routes.ts";
import { uploadPictures } from "./http/upload.ts";
import type { ModelHost } from "./model/model-host.ts";

const serviceVersion = "0.1.0";

export interface AppParts {
  readonly host: ModelHost;
  readonly log: Logger;
  readonly metrics: ServiceMetrics;
  readonly apiKey?: string | undefined;
  readonly feedback?: Feedback | undefined;
  /** Whether the service is stopping: it still answers, and is no longer ready. */
  readonly isDraining?: () => boolean;
}

/** Scripts, styles and pictures of this origin alone; what the page makes itself are pictures in memory. */
const pagePolicy =
  "default-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/** The service without a port: `main.ts` listens, and tests call it. */
export function inferenceApp({ host, log, metrics, apiKey, feedback, isDraining = () => false }: AppParts): Express {
  const app = express();
  app.disable("x-powered-by");
  app.disable("etag");
  app.use(requestLog(log), metrics.middleware, (_req, res, next) => {
    res.set({ "X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer" });
    if (isDraining()) res.set("Connection", "close");
    next();
  });

  app.get("/healthz", (_req, res) => void res.json({ status: "ok" }));
  app.get("/readyz", (_req, res) => {
    const { model, problem } = host.status;
    const ready = model !== undefined && !isDraining();
    const why = isDraining() ? "the service is stopping" : problem;
    res.status(ready ? 200 : 503).json({ ready, ...(model ? { model } : {}), ...(why ? { problem: why } : {}) });
  });
  app.get("/openapi.json", (_req, res) => void res.json(openApiDocument(serviceVersion)));
  const key = requireKey(apiKey);
  app.get("/labels", key, (_req, res) => void res.json({ labels: host.current?.manifest.labels ?? [] }));
  app.post("/predict", key, refuseWhenFull(host), uploadPictures(), predictHandler(host, metrics, feedback));
  app.get("/metrics", key, async (_req, res) => void res.type(metrics.registry.contentType).send(await metrics.registry.metrics()));
  app.use("/v2", protectedTensors(key, host));

  const page = express.static(fileURLToPath(new URL("./page/", import.meta.url)), {
    setHeaders: (res) => void res.setHeader("Content-Security-Policy", pagePolicy),
  });
  // Swagger UI from its package: it works without the internet.
  const swagger = path.dirname(createRequire(import.meta.url).resolve("swagger-ui-dist/package.json"));
  app.get(["/docs", "/docs/"], (req, res) => void (req.path === "/docs" ? res.redirect("/docs/") : res.type("html").send(docsPage)));
  app.get("/docs/start.js", (_req, res) => void res.type("js").send('SwaggerUIBundle({ url: "/openapi.json", dom_id: "#swagger-ui" });'));
  app.use("/docs", express.static(swagger, { index: false }));
  app.use(page);

  app.use((req) => {
    throw new ApiError(404, "not_found", `there is no ${req.method} ${req.path.slice(0, 200)}: see /docs`);
  });
  app.use(answerFailures(metrics));
  return app;
}

/** The Open Inference Protocol; its health stays open to probes where the service has a key. */
function protectedTensors(key: express.RequestHandler, host: ModelHost): express.Router {
  const router = express.Router();
  router.use((req, res, next) => void (req.path === "/" || req.path.startsWith("/health/") ? next() : key(req, res, next)));
  router.use(tensorRoutes(host, { name: "airloom", version: serviceVersion }));
  return router;
}

const docsPage = `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Airloom inference</title><link rel="stylesheet" href="/docs/swagger-ui.css"></head>
<body><div id="swagger-ui"></div><script src="/docs/swagger-ui-bundle.js"></script><script src="/docs/start.js"></script></body></html>`;

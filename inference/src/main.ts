import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { pino } from "pino";
import { inferenceApp } from "./app.ts";
import { Feedback } from "./feedback/feedback.ts";
import { answerClientErrors } from "./http/client-errors.ts";
import { serviceMetrics } from "./http/metrics.ts";
import { ModelHost } from "./model/model-host.ts";
import { readServiceSettings } from "./settings.ts";

const lookEveryMs = 2000;
const mostHeadersMs = 20_000;
/** How often connections that are over their time are looked for. */
const checkEveryMs = 1000;
/** Connections at once; more are closed as they come. */
const maxConnections = 2000;

const settings = readServiceSettings(process.env);
const log = pino({ name: "inference", level: settings.logLevel });
const metrics = serviceMetrics({ runtime: true });
const host = new ModelHost(settings.modelFolder, { pool: settings.pool, maxExtraModels: settings.maxExtraModels, log, events: metrics.hostEvents });
metrics.watch(host);
let draining = false;
const feedback = settings.feedback && new Feedback(settings.feedback);
const app = inferenceApp({ host, log, metrics, apiKey: settings.apiKey, feedback, isDraining: () => draining });
const server = createServer(
  {
    requestTimeout: settings.requestTimeoutMs,
    headersTimeout: Math.min(settings.requestTimeoutMs, mostHeadersMs),
    connectionsCheckingInterval: checkEveryMs,
  },
  app as RequestListener,
);
answerClientErrors(server);
server.once("error", (error) => {
  log.fatal({ err: error }, "cannot listen");
  process.exit(1);
});
server.listen(settings.port, settings.host, () => {
  const { port } = server.address() as AddressInfo;
  log.info(`the inference service listens on http://${settings.host}:${port}`);
});
server.maxConnections = maxConnections;
void host.watch(lookEveryMs);

/** Answers what has come, and ends. */
async function stop(): Promise<void> {
  if (draining) return;
  draining = true;
  setTimeout(() => process.exit(1), settings.drainGraceMs + settings.drainMs).unref();
  if (settings.drainGraceMs > 0) await new Promise((resolve) => setTimeout(resolve, settings.drainGraceMs));
  await new Promise<void>((resolve) => {
    server.close(() => resolve());
    server.closeIdleConnections();
  });
  await host.drain();
  process.exit(0);
}
for (const signal of ["SIGTERM", "SIGINT"] as const) process.on(signal, () => void stop());

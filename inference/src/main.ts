import { pino } from "pino";
import { inferenceApp } from "./app.ts";
import { Feedback } from "./feedback/feedback.ts";
import { serviceMetrics } from "./http/metrics.ts";
import { ModelHost } from "./model/model-host.ts";
import { readServiceSettings } from "./settings.ts";

const lookEveryMs = 2000;
/** A client that sends its picture drop by drop must not hold a connection for ever. */
const requestTimeoutMs = 60_000;
const headersTimeoutMs = 20_000;
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
const server = app.listen(settings.port, settings.host, (error) => {
  if (error) {
    log.fatal({ err: error }, "cannot listen");
    process.exit(1);
  }
  log.info(`the inference service listens on http://${settings.host}:${settings.port}`);
});
server.requestTimeout = requestTimeoutMs;
server.headersTimeout = headersTimeoutMs;
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

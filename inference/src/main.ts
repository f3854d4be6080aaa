import { availableParallelism } from "node:os";
import { pino } from "pino";
import { inferenceApp } from "./app.ts";
import { ModelHost } from "./model/model-host.ts";

const lookEveryMs = 2000;
const drainMs = 8000;

const log = pino({ name: "inference" });
const host = new ModelHost(process.env["MODEL_DIR"] || "model", { threads: availableParallelism(), log });
await host.watch(lookEveryMs);
const port = Number(process.env["INFERENCE_PORT"] || 8000);
const address = process.env["LISTEN_HOST"] || "127.0.0.1";
const server = inferenceApp(host, log).listen(port, address, (error) => {
  if (error) {
    log.fatal({ err: error }, "cannot listen");
    process.exit(1);
  }
  log.info(`the inference service listens on http://${address}:${port}`);
});
// A client that sends its picture drop by drop must not hold a connection for ever.
server.requestTimeout = 60_000;
for (const signal of ["SIGTERM", "SIGINT"] as const)
  process.on(signal, () => {
    server.close(() => {
      host.close();
      process.exit(0);
    });
    setTimeout(() => process.exit(0), drainMs).unref();
  });

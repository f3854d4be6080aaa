import { pino } from "pino";
import { labelerApp } from "./app.ts";
import { LabelerState } from "./state.ts";

const log = pino({ name: "labeler" });
const env = (name: string, fallback?: string): string => {
  const value = process.env[name] || fallback;
  if (value === undefined) throw new Error(`${name} is not set: run \`npm start\`, which writes it to .env`);
  return value;
};

const state = await LabelerState.open(env("LABELER_DIR", ".airloom/labeler"));
const app = labelerApp(state, { user: env("LABELER_USER", "admin"), password: env("LABELER_PASSWORD") }, log);
const port = Number(env("LABELER_PORT", "8080"));
const host = env("LISTEN_HOST", "127.0.0.1");
const server = app.listen(port, host, (error) => {
  if (error) {
    log.fatal({ err: error }, "cannot listen");
    process.exit(1);
  }
  log.info(`the labeler listens on http://${host}:${port}`);
});
for (const signal of ["SIGTERM", "SIGINT"] as const)
  process.on(signal, () => {
    server.close(() => process.exit(0));
    setTimeout(() => process.exit(0), 2000).unref();
  });

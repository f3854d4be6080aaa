import { spawn } from "node:child_process";
import { dag, task } from "airloom";

/** Starts a child of its own, and waits until it is told to stop. */
const waits = task("waits", {}, async (_input: object, { log, signal }) => {
  const child = spawn("sleep", ["287"]);
  log.info(`child ${child.pid}`);
  await new Promise<void>((_resolve, reject) => signal.addEventListener("abort", () => reject(new Error("stopped in good order"))));
});

export default dag("stopping", { schedule: null }, () => void waits({}));

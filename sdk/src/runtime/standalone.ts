import { writeFile } from "node:fs/promises";
import type { Dag } from "../authoring/dag.ts";
import type { StartMessage } from "./channel.ts";
import { type Asking, runTask, type TaskSchemas } from "./run-task.ts";

/** What stands before the outcome on the output; airloom_containers.py reads it. */
const mark = "AIRLOOM_OUTCOME ";

/** Runs a task in a container or pod: it is told by its environment, logs to its output, and leaves its outcome there or in a file. */
export async function serveStandalone(dag: Dag, schemas: TaskSchemas, start: StartMessage, signal: AbortSignal): Promise<void> {
  const asking: Asking = {
    log: (level, message, fields) => void process.stdout.write(`${level.toUpperCase()} ${message}${fields ? ` ${JSON.stringify(fields)}` : ""}\n`),
    request: async (name) => {
      throw new Error(`a task in a container cannot ask Airflow (${name}): pass what it needs as its input`);
    },
  };
  const outcome = await runTask(dag, schemas, start, { ...asking, start: Promise.resolve(start), end: async () => undefined, onLost: () => undefined }, signal);
  const file = process.env["AIRLOOM_OUTCOME_FILE"];
  if (file === undefined) await new Promise<void>((done) => process.stdout.write(`${mark}${JSON.stringify(outcome)}\n`, () => done()));
  else await writeFile(file, JSON.stringify(outcome));
}

import type { Dag } from "../authoring/dag.ts";
import { socketChannel, type StartMessage } from "./channel.ts";
import { serveStandalone } from "./standalone.ts";
import { runTask, type TaskSchemas } from "./run-task.ts";

/** What SIGTERM leaves a handler to end by itself, before the process exits anyway. */
const graceMs = 3000;

/** The main program of a bundle: runs the one task that the operator names over its socket. Does nothing without one. */
export async function serve(dag: Dag, schemas: TaskSchemas, conf: Readonly<Record<string, unknown>>): Promise<void> {
  const fd = process.env["AIRLOOM_FD"];
  const option = (name: string) => process.argv.find((arg) => arg.startsWith(`--${name}=`))?.slice(name.length + 3);
  const [comm, logs] = [option("comm"), option("logs")];
  if (comm !== undefined && logs !== undefined) return underCoordinator(dag, schemas, conf, comm, logs);
  const standalone = process.env["AIRLOOM_START"];
  if (standalone !== undefined) return inImage(dag, schemas, JSON.parse(standalone) as StartMessage);
  if (fd === undefined) {
    console.error(`This bundle holds the tasks of ${dag.id}; Airflow starts it. To try the DAG: airflow dags test ${dag.id}`);
    process.exitCode = 2;
    return;
  }
  delete process.env["AIRLOOM_FD"];
  const channel = socketChannel(Number(fd));
  const abort = new AbortController();
  const stop = (why: string) => {
    if (abort.signal.aborted) return;
    abort.abort(new Error(why));
    setTimeout(() => process.exit(143), graceMs + 1000).unref();
  };
  process.on("SIGTERM", () => stop("Airflow ended the task (SIGTERM)"));
  let lost = false;
  channel.onLost(() => {
    lost = true;
    stop("the connection to Airflow was lost");
    setTimeout(killGroup, graceMs + 500);
  });
  const outcome = await runTask(dag, schemas, await channel.start, channel, abort.signal);
  if (lost) killGroup();
  await channel.end(outcome);
  // A handler's forgotten timer or socket must not keep a finished task running.
  process.exit(0);
}

async function inImage(dag: Dag, schemas: TaskSchemas, start: StartMessage): Promise<void> {
  delete process.env["AIRLOOM_START"];
  const abort = new AbortController();
  process.on("SIGTERM", () => {
    abort.abort(new Error("the container was ended (SIGTERM)"));
    setTimeout(() => process.exit(143), graceMs + 1000).unref();
  });
  await serveStandalone(dag, schemas, start, abort.signal);
  process.exit(0);
}

/** Airflow's own secrets are no business of a task's: its coordinator passes its whole environment on. */
const hiddenEnvironment = ["AIRFLOW_", "_AIRFLOW", "POSTGRES_", "PGPASSWORD", "DATABASE_URL", "LABELER_", "CVAT_"];

async function underCoordinator(dag: Dag, schemas: TaskSchemas, conf: Readonly<Record<string, unknown>>, comm: string, logs: string): Promise<void> {
  for (const name of Object.keys(process.env)) if (hiddenEnvironment.some((prefix) => name.startsWith(prefix))) delete process.env[name];
  const abort = new AbortController();
  process.on("SIGTERM", () => {
    abort.abort(new Error("Airflow ended the task (SIGTERM)"));
    setTimeout(() => process.exit(143), graceMs + 1000).unref();
  });
  const { serveCoordinated } = await import("./coordinated.ts");
  await serveCoordinated(dag, schemas, conf, comm, logs, abort.signal);
  process.exit(0);
}

/** Takes down this process and all that it started: nobody else is left to do so. The operator made it lead its group. */
function killGroup(): void {
  try {
    process.kill(-process.pid, "SIGKILL");
  } catch {
    process.exit(143);
  }
}

import path from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import type { Command } from "commander";
import type { CallSite } from "../authoring/call-site.ts";
import type { Connection } from "../authoring/context.ts";
import type { Dag } from "../authoring/dag.ts";
import type { Json } from "../authoring/json.ts";
import type { Diagnostic } from "../compiler/diagnostic.ts";
import { openTypes, type Schema } from "../compiler/types.ts";
import { findUp } from "../compiler/find-up.ts";
import { confFor } from "../runtime/conf.ts";
import { realClock } from "../testing/clock.ts";
import { nameOf, simulate, type SimulatedTask, type Stub } from "../testing/simulate.ts";
import { parseObject } from "./parse-object.ts";
import { paint } from "./paint.ts";

interface Options {
  readonly conf: string;
  readonly stubs: string;
  readonly concurrency: string;
}

/** Imports a DAG file as it is; throws an Error where it holds no DAG. */
export async function importDag(file: string): Promise<Dag> {
  const { default: dag } = (await import(pathToFileURL(path.resolve(file)).href)) as { default?: Dag };
  if (dag?.kind !== "dag") throw new Error(`${file} does not export a DAG: write \`export default dag(…)\``);
  return dag;
}

async function run(file: string, options: Options): Promise<void> {
  const dag = await importDag(file);
  const { conf: schema, inputs } = schemasOf(path.resolve(file), dag);
  const conf = confFor(schema, parseObject("--conf", options.conf) as Record<string, Json>);
  const started = Date.now();
  const time = () => `${((Date.now() - started) / 1000).toFixed(1).padStart(6)} s`;
  const say = (task: Pick<SimulatedTask, "taskId" | "mapIndex">, text: string) => console.log(`${time()}  ${nameOf(task).padEnd(28)} ${text}`);
  console.log(`${dag.id} ${JSON.stringify(conf)}`);
  const result = await simulate(dag, {
    conf,
    schemas: inputs,
    stubs: parseObject("--stubs", options.stubs) as Record<string, Stub>,
    variables: fromEnvironment("AIRFLOW_VAR_", (text) => text),
    connections: fromEnvironment("AIRFLOW_CONN_", connectionOf),
    clock: realClock,
    concurrency: Number(options.concurrency),
    runId: `local__${new Date(started).toISOString()}`,
    onState: (task) => say(task, `${paint(task.state)}${task.tries > 1 ? ` (try ${task.tries})` : ""}${task.error ? `: ${task.error}` : ""}`),
    onLog: (entry) =>
      say(entry, `${entry.level === "info" ? "" : `${entry.level.toUpperCase()} `}${entry.message}${entry.fields ? ` ${JSON.stringify(entry.fields)}` : ""}`),
  });
  console.log(`${dag.id} ended: ${paint(result.state)}`);
  if (result.state === "failed") process.exitCode = 1;
}

/** The schemas of the conf and of every task's input, read from the types. */
function schemasOf(file: string, dag: Dag): { conf: Schema; inputs: Record<string, Schema> } {
  const reader = openTypes(findUp("tsconfig.json", path.dirname(file)));
  reader.load([file]);
  const diagnostics: Diagnostic[] = [];
  const types = reader.read(file, local(dag.definedAt), diagnostics);
  const inputs: Record<string, Schema> = {};
  for (const task of dag.build().graph.tasks) {
    const site = local(task.definedAt);
    const found = site && types.taskAt(site);
    if (found) inputs[task.id] = found.input;
  }
  return { conf: types.conf, inputs };
}

const local = (site: CallSite | undefined) => (site?.file.startsWith("file://") ? { ...site, file: fileURLToPath(site.file) } : site);

/** What Airflow would read from the environment, too. */
function fromEnvironment<T>(prefix: string, read: (text: string) => T): Record<string, T> {
  const found = Object.entries(process.env).filter(([name, value]) => name.startsWith(prefix) && value !== undefined);
  return Object.fromEntries(found.map(([name, value]) => [name.slice(prefix.length).toLowerCase(), read(value!)]));
}

function connectionOf(text: string): Partial<Connection> {
  if (text.trim().startsWith("{")) {
    const { conn_type, ...rest } = JSON.parse(text) as Readonly<Record<string, Json>>;
    return { type: conn_type as string, ...rest } as Partial<Connection>;
  }
  const url = new URL(text);
  const decoded = (part: string) => (part === "" ? null : decodeURIComponent(part));
  return {
    type: url.protocol.slice(0, -1),
    host: decoded(url.hostname),
    port: url.port === "" ? null : Number(url.port),
    login: decoded(url.username),
    password: decoded(url.password),
    schema: decoded(url.pathname.slice(1)),
    extra: Object.fromEntries(url.searchParams),
  };
}

/** `airloom run x.dag.ts`: a whole run in this process, without Airflow. */
export function addRun(program: Command): void {
  program
    .command("run")
    .argument("<file>", "a DAG file")
    .option("--conf <json>", "the run's conf", "{}")
    .option("--stubs <json>", "results of tasks that are not to run, by task id", "{}")
    .option("--concurrency <n>", "tasks that run at once", "4")
    .description("runs a DAG in this process, with live states and logs and no Airflow")
    .addHelpText("after", "\nVariables and connections come from AIRFLOW_VAR_… and AIRFLOW_CONN_…, as in Airflow.")
    .action(run);
}

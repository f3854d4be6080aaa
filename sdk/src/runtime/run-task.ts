import type { AnyAsset } from "../authoring/asset.ts";
import type { AssetEvent, Connection, DagRunState, TaskContext } from "../authoring/context.ts";
import type { BuiltDag, Dag } from "../authoring/dag.ts";
import type { CallbackInfo } from "../authoring/options.ts";
import type { Json } from "../authoring/json.ts";
import { isNotYet } from "../authoring/outcome.ts";
import type { Channel, Outcome, StartMessage } from "./channel.ts";
import { schemaProblem } from "./validate.ts";

/** The JSON Schema of each task's input, by task id. */
export type TaskSchemas = Readonly<Record<string, Readonly<Record<string, unknown>>>>;

/** Results larger than this belong into a file, with its path as the result: Airflow keeps them in its database. */
const maxResultBytes = 1024 * 1024;

/** Airflow puts ids into an address as they are, and Airflow 2 takes an empty one for any: either would answer for another run. */
const plainId = /^(?!\.{1,2}$)[^\s/?#%]+$/;

/** What a running task needs of its channel. */
export type Asking = Pick<Channel, "log" | "request">;

/** Validates the input, runs the handler and turns whatever it does into an outcome. Never throws. */
export async function runTask(dag: Dag, schemas: TaskSchemas, start: StartMessage, channel: Channel, signal: AbortSignal): Promise<Outcome> {
  try {
    return await runBuilt(dag.build(), schemas, start, channel, signal);
  } catch (error) {
    return outcomeOf(error, signal);
  }
}

/** The same for a DAG that was built before. */
export async function runBuilt(built: BuiltDag, schemas: TaskSchemas, start: StartMessage, channel: Asking, signal: AbortSignal): Promise<Outcome> {
  try {
    if (start.kind === "callback") return await runCallback(built, start, channel, signal);
    const code = built.code.get(start.taskId);
    if (!code) return failure(true, `the bundle of ${built.graph.id} has no task ${start.taskId}: compile the DAG again`);
    // Airflow passes null for a result that a task did not give; to TypeScript that is a missing property.
    const input = dropNulls(start.input, schemas[start.taskId]);
    const schema = schemas[start.taskId];
    const problem = schema && schemaProblem(input, schema, "input");
    if (problem) return failure(true, `the input of ${start.taskId} is wrong: ${problem}`);
    const value = await code.handler(input as never, contextOf(start, channel, signal));
    if (isNotYet(value)) return { type: "pending", message: value.why };
    return { type: "succeeded", value: toJson(start.kind === "branch" ? [value].flat() : value) };
  } catch (error) {
    return outcomeOf(error, signal);
  }
}

async function runCallback(built: BuiltDag, start: StartMessage, channel: Asking, signal: AbortSignal): Promise<Outcome> {
  const { event, index, state, error } = start.input as { event: CallbackInfo["event"]; index: number; state: string; error: string | null };
  const functions = start.taskId === "" ? built.functions : built.code.get(start.taskId)?.functions;
  const callback = functions?.[index];
  if (!callback) return failure(true, `the bundle has no ${event} callback ${index} of ${start.taskId || "the DAG"}: compile the DAG again`);
  await callback({ event, state, error: error ?? undefined }, contextOf(start, channel, signal));
  return { type: "succeeded", value: null };
}

function dropNulls(input: Json, schema: TaskSchemas[string] | undefined): Json {
  const properties = schema?.["properties"] as Record<string, { type?: unknown }> | undefined;
  if (!properties || typeof input !== "object" || input === null || Array.isArray(input)) return input;
  const required = new Set((schema?.["required"] as string[] | undefined) ?? []);
  return Object.fromEntries(Object.entries(input).filter(([key, value]) => value !== null || required.has(key)));
}

function toJson(value: unknown): Json {
  if (value === undefined) return null;
  let text: string;
  try {
    text = JSON.stringify(value);
  } catch (cause) {
    throw new TypeError(`the task's result is not JSON: ${(cause as Error).message}`, { cause });
  }
  const bytes = Buffer.byteLength(text);
  if (bytes > maxResultBytes)
    throw new RangeError(`the task's result is ${bytes} bytes of JSON, and ${maxResultBytes} is the most: write it to a file and return its path`);
  return JSON.parse(text, refuseHuge) as Json;
}

/** Airflow on PostgreSQL keeps such a number as a whole one, and can then send it to no task. */
function refuseHuge(_key: string, value: unknown): unknown {
  if (typeof value === "number" && Math.abs(value) >= 2 ** 63)
    throw new RangeError(`the task's result holds ${value}, and Airflow cannot pass on numbers of 2^63 and more: divide it, or return it as text`);
  return value;
}

function contextOf(start: StartMessage, channel: Asking, signal: AbortSignal): TaskContext {
  const at = (level: "debug" | "info" | "warn" | "error") => (message: string, fields?: Readonly<Record<string, unknown>>) =>
    channel.log(level, message, fields);
  return {
    run: start.run,
    log: { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") },
    signal,
    getVariable: async (key) => ((await channel.request("getVariable", { key })) ?? undefined) as string | undefined,
    setVariable: async (key, value) => void (await channel.request("setVariable", { key, value })),
    getConnection: async (id) => ((await channel.request("getConnection", { id })) ?? undefined) as Connection | undefined,
    getRunState: async (dagId, runId) => {
      for (const id of [dagId, runId])
        if (!plainId.test(id)) throw new TypeError(`getRunState cannot ask for ${JSON.stringify(id)}: that is no id of a DAG or a run`);
      return ((await channel.request("getRunState", { dagId, runId })) ?? undefined) as DagRunState | undefined;
    },
    getXCom: async (taskId, key = "return_value") => (await channel.request("getXCom", { taskId, key })) ?? undefined,
    setXCom: async (key, value) => void (await channel.request("setXCom", { key, value })),
    maskSecret: async (text) => void (await channel.request("maskSecret", { text })),
    emit: async (outlet: AnyAsset, event: Readonly<Record<string, unknown>>) => {
      const { to, extra } = outlet.kind === "alias" ? (event as { to: AnyAsset; extra?: Json }) : { to: undefined, extra: event as Json };
      await channel.request("emit", { outlet: assetJson(outlet), to: to ? assetJson(to) : null, extra: extra ?? {} });
    },
    triggeringEvents: async () => ((await channel.request("triggeringEvents", {})) ?? {}) as unknown as Readonly<Record<string, readonly AssetEvent[]>>,
    inletEvents: async (inlet) => ((await channel.request("inletEvents", { inlet: assetJson(inlet) })) ?? []) as unknown as readonly AssetEvent[],
  };
}

const assetJson = ({ node }: AnyAsset): Json =>
  node.kind === "alias" ? { kind: "alias", name: node.name } : { kind: "asset", name: node.name, uri: node.uri ?? null };

const failure = (terminal: boolean, message: string, stack?: string): Outcome => ({ type: "failed", terminal, message, stack });

/** Skip and TerminalError are told by name, since a bundle may hold two copies of their classes. */
function outcomeOf(error: unknown, signal: AbortSignal): Outcome {
  if (!(error instanceof Error)) return failure(false, `the task threw ${String(error)}`);
  if (error.name === "Skip") return { type: "skipped", message: error.message };
  const message = signal.aborted ? `${error.message} (${(signal.reason as Error).message})` : error.message;
  return failure(error.name === "TerminalError", message, stackWithCauses(error));
}

function stackWithCauses(error: Error): string {
  const own = error.stack ?? error.message;
  return error.cause instanceof Error ? `${own}\nCaused by: ${stackWithCauses(error.cause)}` : own;
}

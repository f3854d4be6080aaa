import type { BuiltDag, Dag } from "../authoring/dag.ts";
import type { Json } from "../authoring/json.ts";
import { exprsOf, type NodeTaskNode, type TaskNode, walkExpr } from "../ir/ir.ts";
import { effectiveSettings, skippedBy, type Topology, topologyOf } from "../ir/topology.ts";
import type { Outcome, StartMessage } from "./channel.ts";
import { confFor } from "./conf.ts";
import { connectTo, type Message, speak, type Supervisor, SupervisorError } from "./frames.ts";
import { elementsAt, resolve, type Values } from "./resolve.ts";
import { type Asking, runBuilt, type TaskSchemas } from "./run-task.ts";

/** What Airflow says of the task instance that it starts. */
interface Startup {
  readonly ti: { id: string; dag_id: string; task_id: string; run_id: string; try_number: number; map_index: number | null };
  readonly ti_context: {
    readonly dag_run: {
      readonly logical_date: unknown;
      readonly data_interval_start: unknown;
      readonly data_interval_end: unknown;
      readonly run_after: unknown;
      readonly start_date: unknown;
      readonly clear_number: number | null;
      readonly run_type: string;
      readonly conf: Readonly<Record<string, Json>> | null;
    };
    readonly task_reschedule_count: number | null;
    readonly xcom_keys_to_clear: readonly string[] | null;
    readonly should_retry: boolean | null;
  };
}

/** Runs the one task that Airflow's coordinator names; the same code as under the spawning operator, over Airflow's own protocol. */
export async function serveCoordinated(
  dag: Dag,
  schemas: TaskSchemas,
  conf: Readonly<Record<string, unknown>>,
  comm: string,
  logs: string,
  signal: AbortSignal,
): Promise<void> {
  const [commSocket, logSocket] = await Promise.all([connectTo(comm), connectTo(logs)]);
  const supervisor = speak(commSocket);
  const log: Asking["log"] = (level, event, fields) => {
    const line = { timestamp: new Date().toISOString(), level: level === "warn" ? "warning" : level, event, logger: "task", ...fields };
    logSocket.write(`${JSON.stringify(line)}\n`);
  };
  // Airflow now tells its API server that the task runs: meanwhile the DAG is built.
  const built = dag.build();
  const topology = topologyOf(built.graph);
  const first = await supervisor.startup;
  const run = () => new CoordinatedRun(built, topology, conf, first as unknown as Startup, supervisor, log).execute(schemas, signal);
  // The DAGs are in the Python files; the bundle has only the tasks.
  const end = first.type === "DagFileParseRequest" ? { type: "DagFileParsingResult", fileloc: first["file"], serialized_dags: [] } : await run();
  // The answer to the last message says that it arrived; without one Airflow has gone, and will find out by itself.
  await Promise.race([supervisor.ask(end).catch(() => undefined), new Promise((done) => setTimeout(done, 5000))]);
  await Promise.all([commSocket, logSocket].map((socket) => new Promise<void>((done) => socket.end(done))));
}

class CoordinatedRun {
  readonly #built: BuiltDag;
  readonly #topology: Topology;
  readonly #conf: Readonly<Record<string, unknown>>;
  readonly #startup: Startup;
  readonly #supervisor: Supervisor;
  readonly #log: Asking["log"];

  constructor(built: BuiltDag, topology: Topology, conf: Readonly<Record<string, unknown>>, startup: Startup, supervisor: Supervisor, log: Asking["log"]) {
    this.#built = built;
    this.#topology = topology;
    this.#conf = conf;
    this.#startup = startup;
    this.#supervisor = supervisor;
    this.#log = log;
  }

  get #mapIndex(): number {
    return this.#startup.ti.map_index ?? -1;
  }

  get #place() {
    const { dag_id, run_id, task_id } = this.#startup.ti;
    return { dag_id, run_id, task_id, map_index: this.#mapIndex };
  }

  /** Runs the task and gives the message that ends it. */
  async execute(schemas: TaskSchemas, signal: AbortSignal): Promise<Message> {
    const { ti, ti_context: context } = this.#startup;
    const task = this.#topology.tasks.get(ti.task_id);
    if (!task || task.kind === "operator" || task.kind === "items")
      return this.#failed(true, `the bundle of ${ti.dag_id} has no task ${ti.task_id}: compile the DAG again`);
    for (const key of context.xcom_keys_to_clear ?? []) await this.#supervisor.ask({ type: "DeleteXCom", key, ...this.#place });
    let input: Json;
    let params: Readonly<Record<string, Json>>;
    try {
      params = confFor(this.#conf, context.dag_run.conf ?? {});
      input = await this.#inputOf(task, params);
    } catch (error) {
      return this.#failed(true, (error as Error).message);
    }
    // What Airflow shows of the input is stored beside the task's work, and has arrived before its end.
    const shown = this.#supervisor
      .ask({ type: "SetRenderedFields", rendered_fields: { inputs: input } })
      .catch((error: Error) => this.#log("warn", error.message));
    const start: StartMessage = { type: "start", taskId: task.id, kind: task.kind, input, run: this.#runInfo(params) };
    const outcome = await runBuilt(this.#built, schemas, start, { log: this.#log, request: (name, args) => this.#request(name, args) }, signal);
    const end = await this.#end(task, outcome, input);
    await shown;
    return end;
  }

  #runInfo(params: Readonly<Record<string, Json>>): StartMessage["run"] {
    const { ti, ti_context: context } = this.#startup;
    const { dag_run: run } = context;
    return {
      dagId: ti.dag_id,
      taskId: ti.task_id,
      runId: ti.run_id,
      tryNumber: ti.try_number,
      mapIndex: this.#mapIndex,
      logicalDate: iso(run.logical_date),
      dataIntervalStart: iso(run.data_interval_start),
      dataIntervalEnd: iso(run.data_interval_end),
      runAfter: isoMs(run.run_after),
      startedAt: isoMs(run.start_date),
      clearNumber: run.clear_number ?? 0,
      runType: run.run_type,
      conf: run.conf ?? {},
      params,
    };
  }

  /** A task's input, its references looked up. */
  async #inputOf(task: NodeTaskNode, params: Readonly<Record<string, Json>>): Promise<Json> {
    const group = this.#topology.mappedGroup.get(task.id);
    const results = new Map<string, Json>();
    for (const expr of [...exprsOf(task), ...(group?.over ? [group.over] : [])]) {
      const wanted: { taskId: string; key: string | undefined }[] = [];
      walkExpr(expr, (part) => {
        if (part.kind === "result") wanted.push(part);
      });
      for (const { taskId, key } of wanted) results.set(`${taskId}\n${key}`, await this.#resultOf(taskId, key));
    }
    const result = (taskId: string, key: string | undefined) => results.get(`${taskId}\n${key}`) ?? null;
    const listOf = (over: NonNullable<TaskNode["mapping"]>[number]["over"]) => (over.kind === "literal" ? over.value : result(over.taskId, undefined));
    const info = this.#runInfo(params);
    const { runId: id, dagId, logicalDate, dataIntervalStart, dataIntervalEnd, runType: type } = info;
    const values: Values = {
      conf: params,
      run: { id, dagId, logicalDate, ds: logicalDate?.slice(0, 10) ?? null, dataIntervalStart, dataIntervalEnd, type },
      result,
      item: () => (listOf(group!.over!) as readonly Json[])[this.#mapIndex]!,
      jinja: (source) => {
        throw new Error(`the coordinator cannot render ${source}`);
      },
    };
    const input: Record<string, Json> = Object.fromEntries(Object.entries(task.inputs).map(([key, expr]) => [key, resolve(expr, values)]));
    for (const { input: key, value } of elementsAt(task.mapping ?? [], this.#mapIndex, listOf))
      Object.assign(input, key === undefined ? value : { [key]: value });
    return input;
  }

  /** What a task pushed; of a mapped one the list of what its instances did, or one of them within its own group. */
  async #resultOf(taskId: string, key = "return_value"): Promise<Json> {
    const { dag_id, run_id, task_id } = this.#startup.ti;
    const task = this.#topology.tasks.get(taskId);
    const group = this.#topology.mappedGroup.get(taskId);
    const where = { key, dag_id, run_id, task_id: taskId };
    const isOwnGroup = group !== undefined && this.#topology.mappedGroup.get(task_id) === group;
    if ((task?.mapping || group) && !isOwnGroup) {
      const answer = await this.#supervisor.ask({ type: "GetXComSequenceSlice", ...where, start: null, stop: null, step: null });
      return (answer?.["root"] ?? []) as Json;
    }
    return this.#orMissing(
      this.#supervisor.ask({ type: "GetXCom", ...where, map_index: isOwnGroup ? this.#mapIndex : -1 }),
      (answer) => (answer?.["value"] ?? null) as Json,
    );
  }

  /** A thing that is not there is no error to a handler. */
  async #orMissing(asked: Promise<Message | undefined>, read: (answer: Message | undefined) => Json): Promise<Json> {
    try {
      return read(await asked);
    } catch (error) {
      if (error instanceof SupervisorError && error.kind.endsWith("NOT_FOUND")) return null;
      throw error;
    }
  }

  async #request(name: string, args: Readonly<Record<string, Json>>): Promise<Json | undefined> {
    const ask = (message: Message) => this.#supervisor.ask(message);
    switch (name) {
      case "getVariable":
        return this.#orMissing(ask({ type: "GetVariable", key: args["key"] }), (answer) => (answer?.["value"] ?? null) as Json);
      case "setVariable":
        await ask({ type: "PutVariable", key: args["key"], value: args["value"], description: null });
        return null;
      case "getXCom":
        return this.#resultOf(args["taskId"] as string, args["key"] as string);
      case "setXCom":
        await ask({ type: "SetXCom", key: args["key"], value: args["value"], ...this.#place });
        return null;
      case "maskSecret":
        await ask({ type: "MaskSecret", value: args["text"] });
        return null;
      case "getConnection":
        return this.#connection(args["id"] as string);
      case "getRunState":
        return this.#runState(args["dagId"] as string, args["runId"] as string);
      default:
        throw new Error(`the coordinator cannot answer ${name}: give the task transport: "spawn"`);
    }
  }

  /** Only Airflow's own word that there is no such run counts: any other failure must not look as if the run were gone. */
  async #runState(dag_id: string, run_id: string): Promise<Json> {
    try {
      return ((await this.#supervisor.ask({ type: "GetDagRunState", dag_id, run_id }))?.["state"] ?? null) as Json;
    } catch (error) {
      if (error instanceof SupervisorError && (error.kind === "DAGRUN_NOT_FOUND" || saysNotFound(error.detail))) return null;
      throw error;
    }
  }

  async #connection(id: string): Promise<Json> {
    const found = await this.#orMissing(this.#supervisor.ask({ type: "GetConnection", conn_id: id }), (answer) => (answer ?? null) as unknown as Json);
    if (found === null) return null;
    const { conn_type, host, port, login, password, schema, extra } = found as Readonly<Record<string, Json>>;
    if (typeof password === "string" && password !== "") await this.#supervisor.ask({ type: "MaskSecret", value: password });
    const fields = typeof extra === "string" && extra !== "" ? (JSON.parse(extra) as Json) : {};
    return {
      type: conn_type ?? "",
      host: host ?? null,
      port: port ?? null,
      login: login ?? null,
      password: password ?? null,
      schema: schema ?? null,
      extra: fields,
    };
  }

  /** Pushes what the task made and gives its last message. */
  async #end(task: NodeTaskNode, outcome: Outcome, input: Json): Promise<Message> {
    const end_date = new Date().toISOString();
    switch (outcome.type) {
      case "skipped":
        this.#log("info", `Skipped: ${outcome.message}`);
        return { type: "TaskState", state: "skipped", end_date };
      case "failed":
        return this.#failed(outcome.terminal, outcome.message, outcome.stack);
      case "pending":
        return this.#wait(task, outcome.message);
      case "succeeded":
        return this.#succeed(task, outcome.value, input, end_date);
    }
  }

  async #succeed(task: NodeTaskNode, value: Json, input: Json, end_date: string): Promise<Message> {
    const settings = effectiveSettings(this.#built.graph, task);
    const isMapped = task.mapping !== undefined || this.#topology.mappedGroup.has(task.id);
    if (!isMapped && this.#isMappedOver(task.id) && !Array.isArray(value))
      return this.#failed(true, `a task is mapped over the result of ${task.id}, which is not a list`);
    if (settings.multipleOutputs && typeof value === "object" && value !== null && !Array.isArray(value))
      for (const [key, part] of Object.entries(value)) await this.#supervisor.ask({ type: "SetXCom", key, value: part, ...this.#place });
    if (value !== null) {
      const mapped_length = !isMapped && Array.isArray(value) && this.#isMappedOver(task.id) ? value.length : null;
      await this.#supervisor.ask({ type: "SetXCom", key: "return_value", value, ...this.#place, mapped_length });
    }
    const decided = skippedBy(this.#topology, task, value, settings.respectTriggerRules ?? false);
    if (decided) {
      await this.#supervisor.ask({ type: "SetXCom", key: "skipmixin_key", value: decided.decision, ...this.#place });
      const group = this.#topology.mappedGroup.get(task.id);
      const inGroup = decided.skipped.filter((id) => group !== undefined && this.#topology.mappedGroup.get(id) === group).map((id) => [id, this.#mapIndex]);
      const tasks = this.#mapIndex < 0 ? decided.skipped : inGroup;
      if (tasks.length > 0) await this.#supervisor.ask({ type: "SkipDownstreamTasks", tasks });
    }
    const name = settings.instanceName === undefined ? undefined : (input as Readonly<Record<string, Json>>)[settings.instanceName];
    const rendered = name === undefined ? {} : { rendered_map_index: typeof name === "string" ? name : JSON.stringify(name) };
    return { type: "SucceedTask", state: "success", end_date, task_outlets: [], outlet_events: [], ...rendered };
  }

  #isMappedOver(taskId: string): boolean {
    const { tasks, groups } = this.#built.graph;
    const all = [...tasks.flatMap((task) => (task.mapping ?? []).map((axis) => axis.over)), ...groups.flatMap((group) => group.over ?? [])];
    return all.some((over) => over.kind === "result" && over.taskId === taskId);
  }

  async #wait(task: NodeTaskNode, why: string): Promise<Message> {
    this.#log("info", `Not yet: ${why}`);
    const settings = effectiveSettings(this.#built.graph, task);
    const now = Date.now();
    const { ti, ti_context: context } = this.#startup;
    const first =
      (context.task_reschedule_count ?? 0) > 0
        ? await this.#supervisor.ask({ type: "GetTaskRescheduleStartDate", ti_id: ti.id, try_number: ti.try_number })
        : undefined;
    const since = iso(first?.["start_date"]);
    const waited = since === null ? 0 : now - Date.parse(since);
    if (waited > (settings.waitTimeoutSeconds ?? Infinity) * 1000) {
      const message = `The sensor waited for more than ${settings.waitTimeoutSeconds} s`;
      if (!settings.softFail) return this.#failed(true, message);
      this.#log("info", message);
      return { type: "TaskState", state: "skipped", end_date: new Date(now).toISOString() };
    }
    const looks = (context.task_reschedule_count ?? 0) + 1;
    const pause = (settings.pokeIntervalSeconds ?? 60) * (settings.pokeBackoff ? 2 ** (looks - 1) : 1);
    const reschedule_date = new Date(now + Math.min(pause, settings.maxPokeIntervalSeconds ?? Infinity) * 1000).toISOString();
    return { type: "RescheduleTask", state: "up_for_reschedule", reschedule_date, end_date: new Date(now).toISOString() };
  }

  #failed(terminal: boolean, message: string, stack?: string): Message {
    this.#log("error", stack ?? message);
    const end_date = new Date().toISOString();
    if (!terminal && this.#startup.ti_context.should_retry) return { type: "RetryTask", state: "up_for_retry", end_date };
    return { type: "TaskState", state: "failed", end_date };
  }
}

/** Whether the API server looked and found nothing; a 404 alone may be one for the address. */
function saysNotFound(detail: unknown): boolean {
  const answer = detail as { status_code?: unknown; detail?: { detail?: { reason?: unknown } } } | null | undefined;
  return answer?.status_code === 404 && answer.detail?.detail?.reason === "not_found";
}

/** The same text whichever way the task runs: the protocol's timestamps lose the microseconds here. */
function isoMs(value: unknown): string | null {
  return value instanceof Date || typeof value === "string" ? iso(new Date(value)) : null;
}

/** A moment as Python writes it; the protocol carries text or a timestamp. */
function iso(value: unknown): string | null {
  if (value instanceof Date) return value.toISOString().replace("Z", "+00:00");
  return typeof value === "string" ? value.replace(/Z$/, "+00:00") : null;
}

import type { AssetEvent, Connection, DagRunState, TaskContext } from "../authoring/context.ts";
import type { BuiltDag, Dag } from "../authoring/dag.ts";
import type { Json } from "../authoring/json.ts";
import type { MappingAxis, TaskNode } from "../ir/ir.ts";
import type { TaskSettings } from "../ir/settings.ts";
import type { Outcome, StartMessage } from "../runtime/channel.ts";
import { type Asking, runBuilt, type TaskSchemas } from "../runtime/run-task.ts";
import { type Clock, fakeClock } from "./clock.ts";
import { createEngine, type Engine } from "./engine.ts";
import { elementsAt, renderJinja, resolve, type Values } from "../runtime/resolve.ts";
import type { Instance, LogEntry, MadeAssetEvent } from "./run-state.ts";
import type { InstanceState } from "./trigger-rules.ts";

/** What stands in for a task: its result, or a function that gives one (or throws, or skips) like a handler. */
export type Stub = Json | ((input: never, context: TaskContext) => unknown);

/** What a simulated run is given. */
export interface SimulateOptions {
  /** What the run is triggered with. */
  readonly conf?: Readonly<Record<string, Json>>;
  readonly variables?: Readonly<Record<string, string>>;
  readonly connections?: Readonly<Record<string, Partial<Connection>>>;
  /** How other runs stand, by "dagId/runId"; one that is missing does not exist. The simulated run itself is running. */
  readonly runStates?: Readonly<Record<`${string}/${string}`, DagRunState>>;
  /** What to do instead of a task's own code, by its id. Operators of Airflow's need one. */
  readonly stubs?: Readonly<Record<string, Stub>>;
  /** When the run starts; waiting takes no time. @default 2026-01-01T00:00:00Z */
  readonly clock?: Date | Clock;
  /** The events that started the run, and those of its inlets, by the asset's name. */
  readonly assetEvents?: Readonly<Record<string, readonly AssetEvent[]>>;
  /** JSON Schemas of the inputs by task id, as the compiler reads them from types: inputs are then checked. */
  readonly schemas?: TaskSchemas;
  /** Tasks that run at once. @default 1 */
  readonly concurrency?: number;
  readonly runId?: string;
  /** Called with each change of a task's state. */
  readonly onState?: (task: SimulatedTask) => void;
  readonly onLog?: (entry: LogEntry) => void;
}

/** How one task instance stands. */
export interface SimulatedTask {
  readonly taskId: string;
  readonly mapIndex: number;
  readonly state: InstanceState;
  readonly tries: number;
  readonly error: string | undefined;
  /** What it pushed, by key; its result is "return_value". */
  readonly xcoms: Readonly<Record<string, Json>>;
}

/** A run that has ended. */
export interface SimulatedRun {
  readonly state: "success" | "failed";
  readonly tasks: readonly SimulatedTask[];
  /** The state of each instance: "load", and "hash[0]" for a mapped one. */
  readonly states: Readonly<Record<string, InstanceState>>;
  readonly logs: readonly LogEntry[];
  /** Asset events that its tasks made. */
  readonly assetEvents: readonly MadeAssetEvent[];
  /** How long it took by its own clock, in milliseconds. */
  readonly durationMs: number;
  /** A task's result: of a mapped one the list of its results. Throws where there is no such task. */
  result(taskId: string): Json;
}

/** Runs a whole DAG in this process, as Airflow would, with fakes for what is outside it and a clock that jumps. */
export async function simulate(dag: Dag, options: SimulateOptions = {}): Promise<SimulatedRun> {
  const built = dag.build();
  if (built.problems.length > 0) throw new Error(`${dag.id} cannot run: ${built.problems.map(({ message }) => message).join("; ")}`);
  const clock = options.clock && "now" in options.clock ? options.clock : fakeClock(options.clock ?? new Date("2026-01-01T00:00:00Z"));
  const world = new World(built, options, clock);
  const engine = world.engine;
  const started = clock.now();
  const state = await engine.run();
  await world.runCallbacks(state);
  const tasks = [...engine.instances.values()].flat().map(describe);
  return {
    state,
    tasks,
    states: Object.fromEntries(tasks.map((task) => [nameOf(task), task.state])),
    logs: world.logs,
    assetEvents: world.made,
    durationMs: clock.now() - started,
    result(taskId) {
      if (!engine.instances.has(taskId)) throw new Error(`${dag.id} has no task ${taskId}; it has ${[...engine.instances.keys()].join(", ")}`);
      return world.resultOf(taskId, undefined, undefined);
    },
  };
}

/** "load", or "hash[0]". */
export const nameOf = ({ taskId, mapIndex }: Pick<SimulatedTask, "taskId" | "mapIndex">): string => (mapIndex < 0 ? taskId : `${taskId}[${mapIndex}]`);

function describe({ taskId, mapIndex, state, tries, error, xcoms }: Instance): SimulatedTask {
  return { taskId, mapIndex, state, tries, error, xcoms: Object.fromEntries([...xcoms].filter(([key]) => key !== "skipmixin_key")) };
}

/** All that a run's tasks see of the outside. */
class World {
  readonly logs: LogEntry[] = [];
  readonly made: MadeAssetEvent[] = [];
  readonly engine: Engine;
  private readonly built: BuiltDag;
  private readonly options: SimulateOptions;
  private readonly variables: Map<string, string>;
  private readonly run: { id: string; date: string; startedAt: string };

  constructor(built: BuiltDag, options: SimulateOptions, clock: Clock) {
    this.built = built;
    this.options = options;
    this.variables = new Map(Object.entries(options.variables ?? {}));
    const now = new Date(clock.now()).toISOString();
    this.run = { id: options.runId ?? "simulated", date: now.replace(/\.\d+Z$/, "+00:00"), startedAt: now.replace("Z", "+00:00") };
    this.engine = createEngine(built.graph, {
      clock,
      concurrency: options.concurrency ?? 1,
      execute: (task, instance, settings) => this.execute(task, instance, settings),
      listOf: (over) => this.listOf(over),
      onState: (task, instance) => this.onState(task, instance),
    });
  }

  private async execute(task: TaskNode, instance: Instance, settings: TaskSettings): Promise<Outcome> {
    await this.callbacks(task, instance, "execute");
    const outcome = await this.outcomeOf(task, instance, settings);
    if (outcome.type !== "succeeded") return outcome;
    if (settings.multipleOutputs && typeof outcome.value === "object" && outcome.value !== null && !Array.isArray(outcome.value))
      for (const [key, value] of Object.entries(outcome.value)) instance.xcoms.set(key, value);
    for (const outlet of task.outlets)
      if (outlet.kind === "asset" && !this.made.some((event) => event.asset === outlet.name && event.taskId === task.id))
        this.made.push({ asset: outlet.name, taskId: task.id, extra: {} });
    if (this.isMappedOver(task) && !Array.isArray(outcome.value)) return failed(`a task is mapped over the result of ${task.id}, which is not a list`);
    return outcome;
  }

  private isMappedOver(task: TaskNode): boolean {
    const over = [
      ...this.built.graph.tasks.flatMap((other) => (other.mapping ?? []).map((axis) => axis.over)),
      ...this.built.graph.groups.flatMap((group) => group.over ?? []),
    ];
    return !task.mapping && !this.engine.topology.mappedGroup.has(task.id) && over.some((axis) => axis.kind === "result" && axis.taskId === task.id);
  }

  private async outcomeOf(task: TaskNode, instance: Instance, settings: TaskSettings): Promise<Outcome> {
    let input: Json;
    try {
      input = this.inputOf(task, instance);
    } catch (error) {
      return failed((error as Error).message);
    }
    const stub = this.options.stubs?.[task.id];
    if (task.kind === "items" && stub === undefined) return Array.isArray(input) ? { type: "succeeded", value: input } : failed(`${task.id} is not a list`);
    if (task.kind === "operator" && stub === undefined) {
      if (["EmptyOperator", "LatestOnlyOperator"].includes(task.operator.className)) return { type: "succeeded", value: null };
      return failed(`${task.operator.className} runs only in Airflow: pass stubs: { ${JSON.stringify(task.id)}: its result } to simulate`);
    }
    const kind = task.kind === "operator" || task.kind === "items" ? "task" : task.kind;
    const start: StartMessage = { type: "start", taskId: task.id, kind, input, run: this.runInfo(task, instance) };
    const built = stub === undefined ? this.built : { ...this.built, code: new Map([[task.id, { handler: handlerOf(stub), functions: [] }]]) };
    const abort = new AbortController();
    const running = runBuilt(built, stub === undefined ? (this.options.schemas ?? {}) : {}, start, this.channel(task, instance), abort.signal);
    return settings.timeoutSeconds === undefined ? running : withTimeout(running, settings.timeoutSeconds, abort);
  }

  /** A task's input: its own, and what this instance is mapped over. */
  private inputOf(task: TaskNode, instance: Instance): Json {
    const values = this.valuesFor(task, instance);
    if (task.kind === "items") return resolve(task.values, values);
    const own = task.kind === "operator" ? task.operator.args : task.inputs;
    const input: Record<string, Json> = Object.fromEntries(Object.entries(own).map(([key, expr]) => [key, resolve(expr, values)]));
    for (const { input: key, value } of elementsAt(task.mapping ?? [], instance.mapIndex, (over) => this.listOf(over)))
      Object.assign(input, key === undefined ? value : { [key]: value });
    return JSON.parse(JSON.stringify(input)) as Json;
  }

  private listOf(over: MappingAxis["over"]): Json {
    if (over.kind === "literal") return over.value;
    const value = this.resultOf(over.taskId, undefined, undefined);
    return Array.isArray(value) ? value : [];
  }

  /** What a task pushed; of a mapped one the list of what its instances did, or one of them within its own group. */
  resultOf(taskId: string, key = "return_value", asker: Instance | undefined): Json {
    const all = this.engine.instances.get(taskId) ?? [];
    const group = this.engine.topology.mappedGroup.get(taskId);
    // A mapped task's result is a list, also where there was nothing to map over.
    if (!group && !this.engine.topology.tasks.get(taskId)?.mapping) return all[0]?.xcoms.get(key) ?? null;
    if (asker && group && this.engine.topology.mappedGroup.get(asker.taskId) === group) return all[asker.mapIndex]?.xcoms.get(key) ?? null;
    return all.flatMap((instance) => (instance.xcoms.has(key) ? [instance.xcoms.get(key)!] : []));
  }

  private valuesFor(task: TaskNode, instance: Instance): Values {
    const conf = { ...this.options.conf, ...task.settings.params };
    const run = {
      id: this.run.id,
      logicalDate: this.run.date,
      ds: this.run.date.slice(0, 10),
      dataIntervalStart: this.run.date,
      dataIntervalEnd: this.run.date,
      type: "manual",
      dagId: this.built.graph.id,
    };
    const names = {
      ds: run.ds,
      ts: run.logicalDate,
      run_id: run.id,
      logical_date: run.logicalDate,
      params: conf,
      dag: { dag_id: run.dagId },
      dag_run: { conf: this.options.conf ?? {}, run_id: run.id },
      var: { value: Object.fromEntries(this.variables) },
    };
    return {
      conf,
      run,
      result: (taskId, key) => this.resultOf(taskId, key, instance),
      item: (groupId) => {
        const group = this.built.graph.groups.find((candidate) => candidate.id === groupId)!;
        return (this.listOf(group.over!) as readonly Json[])[instance.mapIndex]!;
      },
      jinja: (source) => renderJinja(source, names),
    };
  }

  private runInfo(task: TaskNode, instance: Instance): StartMessage["run"] {
    const { date } = this.run;
    const conf = this.options.conf ?? {};
    const dates = { logicalDate: date, dataIntervalStart: date, dataIntervalEnd: date };
    const params = { ...conf, ...task.settings.params };
    return {
      dagId: this.built.graph.id,
      taskId: task.id,
      runId: this.run.id,
      tryNumber: instance.tries,
      mapIndex: instance.mapIndex,
      ...dates,
      runAfter: this.run.startedAt,
      startedAt: this.run.startedAt,
      clearNumber: 0,
      runType: "manual",
      conf,
      params,
    };
  }

  private channel(task: TaskNode, instance: Instance): Asking {
    return {
      log: (level, message, fields) => {
        const entry: LogEntry = { taskId: task.id, mapIndex: instance.mapIndex, level, message, fields };
        this.logs.push(entry);
        this.options.onLog?.(entry);
      },
      request: async (name, args) => this.answer(name, args, task, instance),
    };
  }

  private answer(name: string, args: Readonly<Record<string, Json>>, task: TaskNode, instance: Instance): Json | undefined {
    switch (name) {
      case "getVariable":
        return this.variables.get(args["key"] as string) ?? null;
      case "setVariable":
        this.variables.set(args["key"] as string, args["value"] as string);
        return null;
      case "getConnection": {
        const found = this.options.connections?.[args["id"] as string];
        return found ? ({ type: "", host: null, port: null, login: null, password: null, schema: null, extra: {}, ...found } as Json) : null;
      }
      case "getRunState": {
        const key = `${args["dagId"] as string}/${args["runId"] as string}` as const;
        return key === `${this.built.graph.id}/${this.run.id}` ? "running" : (this.options.runStates?.[key] ?? null);
      }
      case "getXCom":
        return this.resultOf(args["taskId"] as string, args["key"] as string, instance);
      case "setXCom":
        instance.xcoms.set(args["key"] as string, args["value"]!);
        return null;
      case "emit": {
        const { outlet, to, extra } = args as { outlet: { name: string }; to: { name: string } | null; extra: Record<string, Json> };
        this.made.push({ asset: (to ?? outlet).name, taskId: task.id, extra });
        return null;
      }
      case "triggeringEvents":
        return (this.options.assetEvents ?? {}) as unknown as Json;
      case "inletEvents":
        return (this.options.assetEvents?.[(args["inlet"] as { name: string }).name] ?? []) as unknown as Json;
      case "maskSecret":
        return null;
      default:
        throw new Error(`unknown request ${name}`);
    }
  }

  private async onState(task: TaskNode, instance: Instance): Promise<void> {
    this.options.onState?.(describe(instance));
    const events = { success: "success", failed: "failure", up_for_retry: "retry", skipped: "skipped" } as const;
    const event = events[instance.state as keyof typeof events];
    // Airflow calls a task's callbacks only where the task itself ran.
    if (event && instance.tries > 0) await this.callbacks(task, instance, event);
  }

  private async callbacks(task: TaskNode, instance: Instance, event: "execute" | "success" | "failure" | "retry" | "skipped"): Promise<void> {
    for (const target of task.callbacks[event] ?? []) {
      if (target.kind !== "function") continue;
      const input = { event, index: target.index, state: instance.state, error: instance.error ?? null };
      const start: StartMessage = { type: "start", taskId: task.id, kind: "callback", input, run: this.runInfo(task, instance) };
      await this.call(start, task, instance);
    }
  }

  /** The DAG's own callbacks. */
  async runCallbacks(state: "success" | "failed"): Promise<void> {
    const event = state === "success" ? "success" : "failure";
    const [task] = this.built.graph.tasks;
    const [instance] = task ? this.engine.instances.get(task.id)! : [];
    if (!task || !instance) return;
    for (const target of this.built.graph.callbacks[event] ?? [])
      if (target.kind === "function")
        await this.call(
          { type: "start", taskId: "", kind: "callback", input: { event, index: target.index, state, error: null }, run: this.runInfo(task, instance) },
          task,
          instance,
        );
  }

  private async call(start: StartMessage, task: TaskNode, instance: Instance): Promise<void> {
    const channel = this.channel(task, instance);
    const outcome = await runBuilt(this.built, {}, start, channel, new AbortController().signal);
    if (outcome.type === "failed") channel.log("error", `a callback failed: ${outcome.message}`);
  }
}

const failed = (message: string): Outcome => ({ type: "failed", terminal: true, message, stack: undefined });

const handlerOf = (stub: Stub) => async (input: never, context: TaskContext) => (typeof stub === "function" ? stub(input, context) : stub);

async function withTimeout(running: Promise<Outcome>, seconds: number, abort: AbortController): Promise<Outcome> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<Outcome>((resolveLate) => {
    timer = setTimeout(() => {
      abort.abort(new Error(`the task took longer than ${seconds} s`));
      resolveLate({ type: "failed", terminal: false, message: `the task took longer than ${seconds} s`, stack: undefined });
    }, seconds * 1000);
  });
  try {
    return await Promise.race([running, late]);
  } finally {
    clearTimeout(timer);
  }
}

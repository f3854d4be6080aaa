import type { Callbacks, TaskNode } from "../ir/ir.ts";
import type { TaskSettings } from "../ir/settings.ts";
import { assetText } from "./emit-schedule.ts";
import { construct, delta, expression, literal, type Names, overOf } from "./python-text.ts";

type SettingName = keyof TaskSettings;

/** Settings that are an argument of every operator, and how each is written. */
const arguments_: readonly (readonly [SettingName, string, "value" | "delta"])[] = [
  ["retries", "retries", "value"],
  ["retryDelaySeconds", "retry_delay", "delta"],
  ["retryBackoff", "retry_exponential_backoff", "value"],
  ["maxRetryDelaySeconds", "max_retry_delay", "delta"],
  ["timeoutSeconds", "execution_timeout", "delta"],
  ["pool", "pool", "value"],
  ["poolSlots", "pool_slots", "value"],
  ["priorityWeight", "priority_weight", "value"],
  ["weightRule", "weight_rule", "value"],
  ["queue", "queue", "value"],
  ["executor", "executor", "value"],
  ["executorConfig", "executor_config", "value"],
  ["maxActivePerDag", "max_active_tis_per_dag", "value"],
  ["maxActivePerRun", "max_active_tis_per_dagrun", "value"],
  ["dependsOnPast", "depends_on_past", "value"],
  ["waitForDownstream", "wait_for_downstream", "value"],
  ["owner", "owner", "value"],
  ["displayName", "task_display_name", "value"],
  ["multipleOutputs", "multiple_outputs", "value"],
  ["pokeIntervalSeconds", "poke_interval", "value"],
  ["waitTimeoutSeconds", "timeout", "value"],
  ["pokeBackoff", "exponential_backoff", "value"],
  ["maxPokeIntervalSeconds", "max_wait", "delta"],
  ["softFail", "soft_fail", "value"],
];

/** Settings as Python arguments. */
export function settingArguments(settings: TaskSettings, names: Names): (readonly [string, string])[] {
  return arguments_.flatMap(([key, name, form]) => {
    const value = settings[key];
    if (value === undefined) return [];
    if (form === "delta") {
      names.use("timedelta");
      return [[name, delta(value as number)] as const];
    }
    return [[name, literal(value)] as const];
  });
}

const callbackNames = {
  execute: "on_execute_callback",
  success: "on_success_callback",
  failure: "on_failure_callback",
  retry: "on_retry_callback",
  skipped: "on_skipped_callback",
} as const;

/** Callbacks as Python arguments; `taskId` is None for those of the DAG. */
export function callbackArguments(callbacks: Callbacks, taskId: string | null, names: Names): string[] {
  return Object.entries(callbacks).map(([event, targets]) => {
    const made = targets.map((target) =>
      target.kind === "notifier" ? construct(target, names) : `${names.use("node_callback")}(BUNDLE, ${literal(taskId)}, ${literal(event)}, ${target.index})`,
    );
    return `${callbackNames[event as keyof typeof callbackNames]}=[${made.join(", ")}]`;
  });
}

const classes = { task: "NodeTask", sensor: "NodeSensor", branch: "NodeBranch", shortCircuit: "NodeShortCircuit" } as const;

const images = { container: "NodeContainer", pod: "NodePod" } as const;

/** The lines that make one task. */
export function taskLines(task: TaskNode, doc: string | undefined, names: Names): string[] {
  const { settings, mapping } = task;
  const shared = [
    ...settingArguments(settings, names).map(([name, value]) => `${name}=${value}`),
    ...(settings.params === undefined ? [] : [`params=${literal(settings.params)}`]),
    ...(settings.instanceName === undefined ? [] : [`map_index_template=${literal(instanceName(task, settings.instanceName))}`]),
    ...(task.triggerRule === "all_success" ? [] : [`trigger_rule=${literal(task.triggerRule)}`]),
    ...(task.inlets.length === 0 ? [] : [`inlets=[${task.inlets.map((asset) => assetText(asset, names)).join(", ")}]`]),
    ...(task.outlets.length === 0 ? [] : [`outlets=[${task.outlets.map((asset) => assetText(asset, names)).join(", ")}]`]),
    ...callbackArguments(task.callbacks, task.id, names),
    ...((settings.doc ?? doc) === undefined ? [] : [`doc_md=${literal((settings.doc ?? doc)!)}`]),
  ];
  const own = ownArguments(task, names);
  const lines = [`task_id=${literal(task.label)}`, ...own.options, ...shared].map((option) => `    ${option},`);
  const head = `${names.variable(task.id)} = ${own.className}`;
  if (!mapping) return [`${head}(`, ...lines, ...own.long.map((line) => `    ${line}`), ")"];
  return [`${head}.partial(`, ...lines, ...own.long.map((line) => `    ${line}`), `).${expandCall(task, names)}`];
}

/** The Jinja that names an instance by one of its inputs. */
function instanceName(task: TaskNode, given: string): string {
  if (given.includes("{{")) return given;
  return task.kind === "operator" ? `{{ task.${given} }}` : `{{ task.inputs[${JSON.stringify(given).replaceAll('"', "'")}] }}`;
}

function ownArguments(task: TaskNode, names: Names): { className: string; options: string[]; long: string[] } {
  if (task.kind === "items") return { className: names.use("Items"), options: [`values=${expression(task.values, names)}`], long: [] };
  if (task.kind === "operator") {
    const args = Object.entries(task.operator.args).map(([key, value]) => `${key}=${expression(value, names)}`);
    return { className: names.useClass(task.operator.module, task.operator.className), options: args, long: [] };
  }
  const inputs = Object.entries(task.inputs).map(([key, expr]) => `    ${literal(key)}: ${expression(expr, names)},`);
  const options = [
    "bundle=BUNDLE",
    // The queue that Airflow's coordinator for Node serves; where there is none, the operator starts Node itself.
    ...(task.transport === "coordinator" ? [`queue=${names.use("NODE_QUEUE")}`] : []),
    ...(task.runIn ? [`image=${literal(task.runIn.image)}`] : []),
    ...(task.runIn?.folder === undefined ? [] : [`folder=${literal(task.runIn.folder)}`]),
    ...Object.entries(task.runIn?.args ?? {}).map(([key, value]) => `${key}=${literal(value)}`),
    ...(task.arms ? [`arms=${literal(task.arms)}`] : []),
    ...(task.settings.respectTriggerRules ? ["ignore_downstream_trigger_rules=False"] : []),
    ...(task.settings.waiting !== undefined && task.settings.waiting !== "reschedule" ? [`waiting=${literal(task.settings.waiting)}`] : []),
    ...(task.mapping ? [`axes=${literal(task.mapping.map((axis) => axis.input ?? null))}`] : []),
  ];
  return {
    className: names.use(task.runIn ? images[task.runIn.kind] : classes[task.kind]),
    options,
    long: inputs.length > 0 ? ["inputs={", ...inputs, "},"] : [],
  };
}

function expandCall(task: TaskNode, names: Names): string {
  const axes = task.mapping ?? [];
  if (task.kind === "operator") {
    const [first] = axes;
    if (axes.length === 1 && first!.input === undefined) return `expand_kwargs(${overOf(first!.over, names)})`;
    return `expand(${axes.map((axis) => `${axis.input}=${overOf(axis.over, names)}`).join(", ")})`;
  }
  return `expand(${axes.map((axis, i) => `each${i === 0 ? "" : `_${i + 1}`}=${overOf(axis.over, names)}`).join(", ")})`;
}

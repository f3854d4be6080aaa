import type { CallSite } from "../authoring/call-site.ts";
import type { Json } from "../authoring/json.ts";
import type { Schedule } from "./schedule.ts";
import type { TaskSettings } from "./settings.ts";

/** A value that is known when the DAG runs. */
export type Expr =
  | { readonly kind: "literal"; readonly value: Json }
  | { readonly kind: "conf"; readonly path: readonly PathPart[] }
  /** A task's XCom: its result, or what it pushed under `key`. */
  | { readonly kind: "result"; readonly taskId: string; readonly key: string | undefined; readonly path: readonly PathPart[] }
  /** Something of the run itself: `run.id`, `run.logicalDate`. */
  | { readonly kind: "run"; readonly path: readonly PathPart[] }
  /** What a mapped group was given for this instance. */
  | { readonly kind: "item"; readonly groupId: string; readonly path: readonly PathPart[] }
  /** Text that Airflow renders with Jinja. */
  | { readonly kind: "jinja"; readonly source: string }
  | { readonly kind: "template"; readonly parts: readonly Expr[] }
  | { readonly kind: "list"; readonly items: readonly Expr[] }
  | { readonly kind: "object"; readonly fields: Readonly<Record<string, Expr>> }
  /** Lists side by side: one object for each index, as long as the shortest. */
  | { readonly kind: "zip"; readonly fields: Readonly<Record<string, Expr>> }
  /** A Python timedelta or datetime, for operators and triggers that want one. */
  | { readonly kind: "duration"; readonly seconds: number }
  | { readonly kind: "moment"; readonly iso: string };

export type PathPart = string | number;

/** Every trigger rule of Airflow, and the first version that has it. */
export const triggerRules = {
  all_success: "2.11",
  all_failed: "2.11",
  all_done: "2.11",
  all_skipped: "2.11",
  one_success: "2.11",
  one_failed: "2.11",
  one_done: "2.11",
  none_failed: "2.11",
  none_failed_min_one_success: "2.11",
  none_skipped: "2.11",
  always: "2.11",
  all_done_min_one_success: "3.1",
} as const;

export type TriggerRule = keyof typeof triggerRules;

/** One axis of a mapped task: the input it fills (all of an object's keys where undefined) and the list it goes over. */
export interface MappingAxis {
  readonly input: string | undefined;
  /** A literal list or one task's whole result: what Airflow can map over. */
  readonly over: Extract<Expr, { kind: "literal" | "result" }>;
}

export interface Edge {
  /** A task's or a group's id. */
  readonly id: string;
  readonly label: string | undefined;
}

/** A class of Airflow's or a provider's and the arguments it is made with. */
export interface PythonObject {
  readonly module: string;
  readonly className: string;
  readonly args: Readonly<Record<string, Expr>>;
}

/** What a callback calls: a TypeScript function of the task (by its index), or a notifier of Airflow's. */
export type CallbackTarget = { readonly kind: "function"; readonly index: number } | ({ readonly kind: "notifier" } & PythonObject);

export const callbackEvents = ["execute", "success", "failure", "retry", "skipped"] as const;
export type CallbackEvent = (typeof callbackEvents)[number];
export type Callbacks = Readonly<Partial<Record<CallbackEvent, readonly CallbackTarget[]>>>;

export interface AssetNode {
  readonly kind: "asset";
  readonly name: string;
  readonly uri: string | undefined;
  readonly group: string | undefined;
  readonly extra: Readonly<Record<string, Json>> | undefined;
  readonly watchers: readonly { readonly name: string; readonly trigger: PythonObject }[];
}
export interface AssetAliasNode {
  readonly kind: "alias";
  readonly name: string;
}
export type AssetRef = AssetNode | AssetAliasNode;

/** What every task has, whatever runs it. */
interface Placed {
  /** With the ids of its groups before it. */
  readonly id: string;
  /** The id without them. */
  readonly label: string;
  readonly groupId: string | undefined;
  /** What comes directly before it: every task whose result it uses, and what `after` names. Sorted by id. */
  readonly upstream: readonly Edge[];
  readonly settings: TaskSettings;
  readonly triggerRule: TriggerRule;
  /** Whether the author said the rule. */
  readonly ruleGiven: boolean;
  readonly mapping: readonly MappingAxis[] | undefined;
  readonly callbacks: Callbacks;
  readonly inlets: readonly AssetRef[];
  readonly outlets: readonly AssetRef[];
  readonly setup: boolean;
  /** The setups that it takes down. */
  readonly teardown: { readonly setups: readonly string[]; readonly failRun: boolean } | undefined;
  /** Where it was placed, and where the task was defined. */
  readonly placedAt: CallSite | undefined;
  readonly definedAt: CallSite | undefined;
}

/** How Airflow reaches Node: an operator that starts it, or Airflow's own coordinator (3.3 and newer). */
export type Transport = "spawn" | "coordinator";

/** Where a task runs instead of on Airflow's worker: an image with Node and the compiled DAGs, and what else its operator is given. */
export interface RunIn {
  readonly kind: "container" | "pod";
  readonly image: string;
  readonly folder: string | undefined;
  readonly args: Readonly<Record<string, Json>>;
}

/** A task whose body is a TypeScript function. */
export interface NodeTaskNode extends Placed {
  readonly kind: "task" | "sensor" | "branch" | "shortCircuit";
  readonly inputs: Readonly<Record<string, Expr>>;
  /** Branches only: the ids of the first tasks of each arm. */
  readonly arms: Readonly<Record<string, readonly string[]>> | undefined;
  /** What the author asked for; the compiler chooses where nothing is. */
  readonly transport: Transport | undefined;
  readonly runIn: RunIn | undefined;
}

/** A task that is an operator of Airflow's or a provider's. */
export interface OperatorNode extends Placed {
  readonly kind: "operator";
  readonly operator: PythonObject;
  /** The Airflow that has it. */
  readonly since: string | undefined;
}

/** A list that a later task is mapped over: a part of a result or of the conf, taken out so that Airflow knows its length. */
export interface ItemsNode extends Placed {
  readonly kind: "items";
  readonly values: Expr;
}

export type TaskNode = NodeTaskNode | OperatorNode | ItemsNode;

export interface GroupNode {
  readonly id: string;
  readonly label: string;
  readonly parentId: string | undefined;
  readonly tooltip: string | undefined;
  readonly displayName: string | undefined;
  readonly prefix: boolean;
  readonly defaults: TaskSettings;
  readonly upstream: readonly Edge[];
  /** Mapped groups only. */
  readonly over: MappingAxis["over"] | undefined;
  readonly placedAt: CallSite | undefined;
}

/** "Tell someone when a run has not ended in time." */
export interface Deadline {
  readonly reference: "logical_date" | "queued_at" | { readonly at: string };
  readonly withinSeconds: number;
  readonly notify: PythonObject;
}

/** A whole DAG, plain and frozen: all that the emitter gets to see. */
export interface DagGraph {
  readonly kind: "dag";
  readonly id: string;
  readonly schedule: Schedule;
  /** What tasks do where they say nothing else. */
  readonly defaults: TaskSettings;
  readonly startDate: string | undefined;
  readonly endDate: string | undefined;
  readonly catchup: boolean;
  readonly maxActiveRuns: number | undefined;
  readonly maxActiveTasks: number | undefined;
  readonly maxConsecutiveFailedRuns: number | undefined;
  readonly runTimeoutSeconds: number | undefined;
  readonly failFast: boolean;
  readonly pausedOnCreation: boolean | undefined;
  readonly displayName: string | undefined;
  readonly doc: string | undefined;
  readonly tags: readonly string[];
  readonly ownerLinks: Readonly<Record<string, string>>;
  readonly accessControl: Readonly<Record<string, Readonly<Record<string, readonly string[]>>>>;
  readonly callbacks: Callbacks;
  readonly deadlines: readonly Deadline[];
  readonly groups: readonly GroupNode[];
  readonly tasks: readonly TaskNode[];
  readonly definedAt: CallSite | undefined;
}

/** Freezes a plain value and all that it holds. */
export function deepFreeze<T>(value: T): T {
  if (typeof value === "object" && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    for (const part of Object.values(value)) deepFreeze(part);
  }
  return value;
}

/** Calls `visit` with an expression and all within it. */
export function walkExpr(expr: Expr, visit: (expr: Expr) => void): void {
  visit(expr);
  if (expr.kind === "template") for (const part of expr.parts) walkExpr(part, visit);
  if (expr.kind === "list") for (const item of expr.items) walkExpr(item, visit);
  if (expr.kind === "object" || expr.kind === "zip") for (const field of Object.values(expr.fields)) walkExpr(field, visit);
}

/** Every expression that a task is given, not those within them. */
export function exprsOf(task: TaskNode): Expr[] {
  const own = task.kind === "operator" ? Object.values(task.operator.args) : task.kind === "items" ? [task.values] : Object.values(task.inputs);
  return [...own, ...(task.mapping ?? []).map((axis) => axis.over)];
}

/** The ids of the tasks whose results an expression needs. */
export function tasksIn(expr: Expr): string[] {
  const found: string[] = [];
  walkExpr(expr, (part) => {
    if (part.kind === "result") found.push(part.taskId);
  });
  return found;
}

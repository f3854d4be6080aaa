import {
  deepFreeze,
  type Edge,
  type Expr,
  exprsOf,
  type GroupNode,
  type ItemsNode,
  type MappingAxis,
  type NodeTaskNode,
  type OperatorNode,
  type TaskNode,
  tasksIn,
  walkExpr,
} from "../ir/ir.ts";
import { assetNodes } from "./asset.ts";
import { type CallSite, callSite } from "./call-site.ts";
import { type Edgeable, edgeOf } from "./edges.ts";
import { type Group, markGroup } from "./group-handle.ts";
import { isMappable } from "./mapping.ts";
import { type Callback, callbacksOf, type Placement, settingsOf, type TaskDefaults } from "./options.ts";
import { makeRef, type Ref } from "./ref.ts";
import type { TaskContext } from "./context.ts";

/** Something wrong with a DAG, found while it is built. */
export interface BuildProblem {
  readonly code: string;
  readonly message: string;
  readonly at: CallSite | undefined;
}

/** The TypeScript of a placed task: what runs, and what runs after it. */
export interface PlacedCode {
  readonly handler: (input: never, context: TaskContext) => Promise<unknown>;
  readonly functions: readonly Callback[];
}

/** What was placed so far in the DAG function that is running. */
export interface Building {
  readonly tasks: TaskNode[];
  readonly groups: GroupNode[];
  readonly code: Map<string, PlacedCode>;
  readonly problems: BuildProblem[];
}

interface Open extends Building {
  readonly ids: Set<string>;
  /** The groups whose functions are running, outermost first. */
  readonly within: GroupNode[];
  /** Edges that `chain` and `cross` add to what was placed before. */
  readonly later: { readonly targetId: string; readonly edge: Edge }[];
}

let building: Open | undefined;

/** Runs a DAG function and collects what it places. */
export function collect(build: () => void): Building {
  if (building) throw new Error("a DAG function must not build another DAG");
  const open: Open = { tasks: [], groups: [], code: new Map(), problems: [], ids: new Set(), within: [], later: [] };
  building = open;
  try {
    build();
  } finally {
    building = undefined;
  }
  const added = new Map<string, Edge[]>();
  for (const { targetId, edge } of open.later) added.set(targetId, [...(added.get(targetId) ?? []), edge]);
  const complete = <T extends TaskNode | GroupNode>(node: T): T =>
    deepFreeze({ ...node, upstream: mergeEdges([...node.upstream, ...(added.get(node.id) ?? [])]) });
  return { tasks: open.tasks.map(complete), groups: open.groups.map(complete), code: open.code, problems: open.problems };
}

function current(what: string): Open {
  if (!building) throw new Error(`${what} was called outside a DAG function; to run a task's code, call its handler`);
  return building;
}

/** Sorted by id, each once; one with words wins over one without. */
function mergeEdges(edges: readonly Edge[]): Edge[] {
  const byId = new Map<string, Edge>();
  for (const edge of edges) if (!byId.has(edge.id) || edge.label !== undefined) byId.set(edge.id, edge);
  return [...byId.values()].toSorted((a, b) => (a.id < b.id ? -1 : 1));
}

/** A task as its author describes it: what kinds have of their own, and how it is placed. */
export type TaskSpec =
  | { readonly kind: NodeTaskNode["kind"]; readonly inputs: NodeTaskNode["inputs"]; readonly code: Callback | PlacedCode["handler"] }
  | { readonly kind: "operator"; readonly operator: OperatorNode["operator"]; readonly since: string | undefined };

export interface PlaceOptions {
  readonly name: string;
  readonly spec: () => TaskSpec;
  /** The definition's options, under the placement's. */
  readonly options: Placement;
  readonly placement: Placement;
  /** The lists that it is mapped over. */
  readonly over: (() => { input: string | undefined; list: Expr }[]) | undefined;
  readonly definedAt: CallSite | undefined;
  readonly placedAt: CallSite | undefined;
}

/** Adds a task to the DAG that is being built and returns a reference to its result. */
export function placeTask<O>({ name, spec, options, placement, over, definedAt, placedAt }: PlaceOptions): Ref<O> {
  const open = current(`task ${name}`);
  const label = placement.id ?? name;
  const id = idWithin(open, label);
  try {
    const mapping = over?.().map(({ input, list }) => axis(open, label, input, list, placedAt));
    const given = { ...options, ...definedOnly(placement) };
    const { callbacks, functions } = callbacksOf(given);
    const own = spec();
    const after = [placement.after ?? []].flat().map(edgeOf);
    const teardown = placement.teardown === undefined ? undefined : { setups: [placement.teardown].flat().map(taskIdOf), failRun: placement.failRun ?? false };
    const common = {
      id,
      label,
      groupId: open.within.at(-1)?.id,
      settings: {
        ...(own.kind === "sensor" ? { waiting: "reschedule" as const, pokeIntervalSeconds: 30, waitTimeoutSeconds: 7 * 86_400 } : {}),
        ...sensorTimeout(own.kind, settingsOf(given)),
      },
      triggerRule: placement.triggerRule ?? "all_success",
      ruleGiven: placement.triggerRule !== undefined,
      mapping,
      callbacks,
      inlets: assetNodes(given.inlets),
      outlets: assetNodes(given.outlets),
      setup: placement.setup ?? false,
      teardown,
      placedAt,
      definedAt,
    };
    const node: TaskNode =
      own.kind === "operator"
        ? { ...common, kind: "operator", operator: own.operator, since: own.since, upstream: [] }
        : { ...common, kind: own.kind, inputs: own.inputs, arms: undefined, transport: given.transport, runIn: given.runIn, upstream: [] };
    const used = usedTasks(open, node);
    add(open, { ...node, upstream: mergeEdges([...used.map((used) => ({ id: used, label: undefined })), ...after]) }, placedAt);
    if (own.kind !== "operator") open.code.set(id, { handler: own.code as PlacedCode["handler"], functions });
  } catch (error) {
    open.problems.push({ code: "AL105", message: `task "${id}": ${(error as Error).message}`, at: placedAt });
  }
  return makeRef<O>({ kind: "result", taskId: id, key: undefined, path: [] });
}

/** A sensor's `timeout` is how long it waits; any other task's is how long a try may take. */
function sensorTimeout(kind: TaskSpec["kind"], { timeoutSeconds, ...rest }: ReturnType<typeof settingsOf>): ReturnType<typeof settingsOf> {
  if (timeoutSeconds === undefined) return rest;
  return kind === "sensor" ? { ...rest, waitTimeoutSeconds: timeoutSeconds } : { ...rest, timeoutSeconds };
}

/** The tasks whose results a task uses. Within a mapped group, what the group is mapped over comes before the group itself. */
function usedTasks(open: Open, node: TaskNode): string[] {
  const used = exprsOf(node).flatMap(tasksIn);
  for (const expr of exprsOf(node))
    walkExpr(expr, (part) => {
      if (part.kind === "item" && !open.within.some((group) => group.id === part.groupId))
        throw new TypeError(`an element of the mapped group "${part.groupId}" is used outside it: return it from the group's function`);
    });
  return used;
}

function add(open: Open, node: TaskNode, at: CallSite | undefined): void {
  if (open.ids.has(node.id)) open.problems.push({ code: "AL102", message: `task id "${node.id}" is used twice; give this one another: { id: "…" }`, at });
  open.ids.add(node.id);
  open.tasks.push(node);
}

const idWithin = ({ within }: Open, label: string) => {
  const prefix = within.findLast((group) => group.prefix);
  return prefix && within.at(-1)?.prefix !== false ? `${prefix.id}.${label}` : label;
};

/** The axis of a mapping; a list whose length Airflow could not know is taken out by a small task of its own. */
function axis(open: Open, label: string, input: string | undefined, list: Expr, placedAt: CallSite | undefined): MappingAxis {
  if (list.kind === "literal" && !Array.isArray(list.value)) throw new TypeError(`${input ?? "each"} is not a list: a task is mapped over lists`);
  if (isMappable(list)) return { input, over: list };
  const itemsLabel = `${label}__${input ?? "items"}`;
  const id = idWithin(open, itemsLabel);
  const upstream = mergeEdges(tasksIn(list).map((used) => ({ id: used, label: undefined })));
  const node: ItemsNode = {
    kind: "items",
    id,
    label: itemsLabel,
    groupId: open.within.at(-1)?.id,
    values: list,
    upstream,
    settings: {},
    triggerRule: "all_success",
    ruleGiven: false,
    mapping: undefined,
    callbacks: {},
    inlets: [],
    outlets: [],
    setup: false,
    teardown: undefined,
    placedAt,
    definedAt: undefined,
  };
  add(open, node, placedAt);
  return { input, over: { kind: "result", taskId: id, key: undefined, path: [] } };
}

function taskIdOf(value: Edgeable): string {
  const { id } = edgeOf(value);
  if (!current("teardown").ids.has(id)) throw new TypeError("`teardown` takes results of setup tasks");
  return id;
}

/** How a group looks, and what its tasks share. */
export interface GroupOptions {
  readonly tooltip?: string;
  readonly displayName?: string;
  /** Whether the ids of its tasks begin with its own. @default true */
  readonly prefix?: boolean;
  /** What its tasks do where they say nothing else. */
  readonly defaults?: TaskDefaults;
  /** What must come before all of its tasks. */
  readonly after?: Edgeable | readonly Edgeable[];
}

/** Places a group and all that its function places. */
export function placeGroup<R>(
  label: string,
  options: GroupOptions,
  over: Expr | undefined,
  body: (groupId: string) => R,
  placedAt: CallSite | undefined,
): Group<R> {
  const open = current(`group ${label}`);
  const id = idWithin(open, label);
  if (over && open.within.some((group) => group.over)) throw new TypeError("a mapped group within a mapped group: Airflow cannot run that");
  const axisOver = over && axis(open, label, undefined, over, placedAt).over;
  if (open.ids.has(id)) open.problems.push({ code: "AL102", message: `id "${id}" is used twice; give this group another`, at: placedAt });
  open.ids.add(id);
  const node: GroupNode = {
    id,
    label,
    parentId: open.within.at(-1)?.id,
    tooltip: options.tooltip,
    displayName: options.displayName,
    prefix: options.prefix ?? true,
    defaults: settingsOf(options.defaults ?? {}),
    over: axisOver,
    upstream: mergeEdges([options.after ?? []].flat().map(edgeOf)),
    placedAt,
  };
  open.groups.push(node);
  open.within.push(node);
  try {
    return markGroup({ result: body(id) }, id);
  } finally {
    open.within.pop();
  }
}

/** Says that every target comes after every source. */
export function orderAfter(targets: readonly Edgeable[], sources: readonly Edgeable[], callee: (...args: never[]) => unknown): void {
  const open = current("chain");
  try {
    const edges = sources.map(edgeOf);
    for (const { id, label } of targets.map(edgeOf)) for (const edge of edges) open.later.push({ targetId: id, edge: { ...edge, label: edge.label ?? label } });
  } catch (error) {
    open.problems.push({ code: "AL105", message: (error as Error).message, at: callSite(callee) });
  }
}

/** Runs an arm of a branch: its first tasks come after the branch and are what it chooses between. */
export function placeArm<R>(branchId: string, key: string, body: () => R): R {
  const open = current(`arm ${key}`);
  const before = open.tasks.length;
  const result = body();
  const placed = open.tasks.slice(before);
  const ids = new Set(placed.map((task) => task.id));
  // A mapped group's list is made by a task before the group: the group's own tasks wait for that.
  const groupsPlaced = open.groups.filter((group) => placed.some((task) => task.groupId === group.id));
  const waits = (task: TaskNode) =>
    task.upstream.some((edge) => ids.has(edge.id)) ||
    groupsPlaced.some((group) => group.id === task.groupId && group.over?.kind === "result" && ids.has(group.over.taskId));
  const roots = placed.filter((task) => !waits(task)).map((task) => task.id);
  for (const id of roots) open.later.push({ targetId: id, edge: { id: branchId, label: key } });
  const index = open.tasks.findIndex((task) => task.id === branchId);
  const branch = open.tasks[index];
  if (branch?.kind === "branch") open.tasks[index] = { ...branch, arms: { ...branch.arms, [key]: roots } };
  return result;
}

function definedOnly<T extends object>(value: T): T {
  return Object.fromEntries(Object.entries(value).filter(([, part]) => part !== undefined)) as T;
}

import type { DagGraph, GroupNode, TaskNode } from "./ir.ts";
import type { TaskSettings } from "./settings.ts";

/** How the tasks of a graph hang together, groups resolved to their tasks. */
export interface Topology {
  readonly tasks: ReadonlyMap<string, TaskNode>;
  readonly upstream: ReadonlyMap<string, ReadonlySet<string>>;
  readonly downstream: ReadonlyMap<string, ReadonlySet<string>>;
  /** The mapped group that a task is in, directly or through groups within it. */
  readonly mappedGroup: ReadonlyMap<string, GroupNode>;
  /** All that comes after a task. */
  after(id: string): ReadonlySet<string>;
  /** All that comes before a task. */
  before(id: string): ReadonlySet<string>;
  /** Setups that a task stands between, though it does not follow them directly. */
  indirectSetups(id: string): readonly string[];
}

/** Reads a graph's edges as Airflow does: an edge to a group goes to its first tasks, one from a group comes from its last. */
export function topologyOf(graph: DagGraph): Topology {
  const tasks = new Map(graph.tasks.map((task) => [task.id, task]));
  const groups = new Map(graph.groups.map((group) => [group.id, group]));
  const upstream = new Map<string, Set<string>>(graph.tasks.map((task) => [task.id, new Set()]));
  const downstream = new Map<string, Set<string>>(graph.tasks.map((task) => [task.id, new Set()]));
  const connect = (from: string, to: string) => {
    upstream.get(to)?.add(from);
    downstream.get(from)?.add(to);
  };
  for (const task of graph.tasks) for (const { id } of task.upstream) if (tasks.has(id)) connect(id, task.id);
  for (const task of graph.tasks) for (const id of task.teardown?.setups ?? []) connect(id, task.id);

  const isWithin = (groupId: string | undefined, outer: string): boolean =>
    groupId !== undefined && (groupId === outer || isWithin(groups.get(groupId)?.parentId, outer));
  const members = (id: string) => graph.tasks.filter((task) => isWithin(task.groupId, id)).map((task) => task.id);
  const roots = (id: string) => {
    const all = new Set(members(id));
    return [...all].filter((member) => [...upstream.get(member)!].every((before) => !all.has(before)));
  };
  const leaves = (id: string) => {
    const all = new Set(members(id));
    return [...all].filter(
      (member) => !tasks.get(member)!.teardown && [...downstream.get(member)!].every((next) => !all.has(next) || tasks.get(next)!.teardown),
    );
  };
  const sources = (id: string) => (groups.has(id) ? leaves(id) : [id]);
  // What is within the groups is connected by now: only then are their first and last tasks known.
  const firstTasks = new Map(graph.groups.map((group) => [group.id, roots(group.id)]));
  for (const task of graph.tasks) for (const { id } of task.upstream) if (groups.has(id)) for (const from of leaves(id)) connect(from, task.id);
  for (const group of graph.groups) {
    const before = [...group.upstream.map(({ id }) => id), ...(group.over?.kind === "result" ? [group.over.taskId] : [])];
    for (const id of before) for (const from of sources(id)) for (const to of firstTasks.get(group.id)!) connect(from, to);
  }

  const mappedGroup = new Map<string, GroupNode>();
  for (const task of graph.tasks)
    for (let id = task.groupId; id !== undefined; id = groups.get(id)?.parentId) {
      const group = groups.get(id)!;
      if (group.over) {
        mappedGroup.set(task.id, group);
        break;
      }
    }
  const flat = (edges: ReadonlyMap<string, ReadonlySet<string>>) => {
    const known = new Map<string, ReadonlySet<string>>();
    return (start: string): ReadonlySet<string> => {
      const before = known.get(start);
      if (before) return before;
      const seen = new Set<string>();
      const queue = [...(edges.get(start) ?? [])];
      for (let id = queue.pop(); id !== undefined; id = queue.pop()) {
        if (seen.has(id)) continue;
        seen.add(id);
        queue.push(...edges.get(id)!);
      }
      known.set(start, seen);
      return seen;
    };
  };
  const [after, before] = [flat(downstream), flat(upstream)];
  const hasSetups = graph.tasks.some((task) => task.setup || task.teardown);
  const setupIds = new Set(graph.tasks.flatMap((task) => [...(task.setup ? [task.id] : []), ...(task.teardown?.setups ?? [])]));
  return {
    tasks,
    upstream,
    downstream,
    mappedGroup,
    after,
    before,
    indirectSetups(id) {
      if (!hasSetups) return [];
      const teardownsAfter = [...after(id)].filter((next) => tasks.get(next)!.teardown);
      return [...before(id)].filter((setup) => {
        if (!setupIds.has(setup) || upstream.get(id)!.has(setup)) return false;
        const own = [...downstream.get(setup)!].filter((next) => tasks.get(next)!.teardown);
        return own.length === 0 || own.some((teardown) => teardownsAfter.includes(teardown));
      });
    },
  };
}

/** Whether a task is a setup, said so or by its teardown. */
export const isSetup = (topology: Topology, id: string): boolean => {
  if (topology.tasks.get(id)?.setup) return true;
  return [...(topology.downstream.get(id) ?? [])].some((next) => topology.tasks.get(next)?.teardown?.setups.includes(id));
};

/** What a branch or a short circuit decided: the XCom by which Airflow remembers it, and the tasks that are skipped at once. */
export function skippedBy(
  topology: Topology,
  task: TaskNode,
  value: unknown,
  respectTriggerRules: boolean,
): { decision: SkipDecision; skipped: string[] } | undefined {
  const direct = [...topology.downstream.get(task.id)!];
  if (task.kind === "branch") {
    const chosen = (value as readonly string[]).flatMap((key) => task.arms?.[key] ?? []);
    const followed = new Set(chosen.flatMap((id) => [id, ...topology.after(id)]));
    return { decision: { followed: direct.filter((id) => followed.has(id)) }, skipped: direct.filter((id) => !followed.has(id)) };
  }
  if (task.kind !== "shortCircuit" || value !== false || direct.length === 0) return undefined;
  const all = respectTriggerRules ? direct : [...topology.after(task.id)];
  const skipped = all.filter((id) => !topology.tasks.get(id)!.teardown);
  return { decision: { skipped }, skipped };
}

/** What Airflow keeps under the key "skipmixin_key". */
export type SkipDecision = { readonly followed: readonly string[] } | { readonly skipped: readonly string[] };

/** A task's settings over those of its groups over those of the DAG. */
export function effectiveSettings(graph: DagGraph, task: TaskNode): TaskSettings {
  const groups: GroupNode[] = [];
  for (let id = task.groupId; id !== undefined; id = groups[0]!.parentId) groups.unshift(graph.groups.find((group) => group.id === id)!);
  return Object.assign({}, graph.defaults, ...groups.map((group) => group.defaults), task.settings) as TaskSettings;
}

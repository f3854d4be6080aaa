import { checkFeatures } from "./check-features.ts";
import { checkSchedule } from "./check-schedule.ts";
import { type DagGraph, type TaskNode, walkExpr } from "../ir/ir.ts";
import { isSetup, topologyOf } from "../ir/topology.ts";
import { schemaProblem } from "../runtime/validate.ts";
import type { Diagnostic } from "./diagnostic.ts";
import { coordinatorLacks } from "./transport.ts";
import type { Target } from "./target.ts";
import type { Schema } from "./types.ts";

/** What the project says that a graph is checked against. */
export interface CheckOptions {
  readonly target: Target;
  /** The pools that exist, where the project says so. */
  readonly pools: readonly string[] | undefined;
}

/** Everything that can be seen to be wrong in a graph and its conf before it runs. */
export function checkGraph(graph: DagGraph, conf: Schema, options: CheckOptions): Diagnostic[] {
  return [
    ...checkIds(graph),
    ...checkCycles(graph),
    ...checkReach(graph),
    ...checkRules(graph),
    ...checkMapping(graph),
    ...checkPools(graph, options.pools),
    ...checkShell(graph),
    ...checkSchedule(graph, conf, options.target),
    ...checkDefaults(graph, conf),
    ...checkFeatures(graph, options.target),
  ];
}

const idPattern = /^[\w.-]{1,250}$/;
const groupPattern = /^[\w-]{1,200}$/;

function checkIds(graph: DagGraph): Diagnostic[] {
  const wrong = (id: string) => `"${id}" is not an id that Airflow takes: use 1 to 250 letters, digits, "_", "-" and "."`;
  const found: Diagnostic[] = idPattern.test(graph.id) ? [] : [{ code: "AL101", message: wrong(graph.id), at: graph.definedAt }];
  if (graph.tasks.length === 0) found.push({ code: "AL104", message: `DAG ${graph.id} has no tasks: call one in its function`, at: graph.definedAt });
  for (const task of graph.tasks) if (!idPattern.test(task.id)) found.push({ code: "AL101", message: wrong(task.id), at: task.placedAt });
  for (const group of graph.groups)
    if (!groupPattern.test(group.label))
      found.push({ code: "AL101", message: `"${group.label}" is not a group's id: use 1 to 200 letters, digits, "_" and "-"`, at: group.placedAt });
  for (const tag of graph.tags)
    if (tag.length === 0 || tag.length > 100)
      found.push({ code: "AL101", message: `tag "${tag.slice(0, 20)}…" must have 1 to 100 characters`, at: graph.definedAt });
  return found;
}

/** The ids of the tasks that an edge's end stands for: a group stands for all of its tasks. */
function tasksOf(graph: DagGraph, id: string): string[] {
  const inGroup = (groupId: string | undefined): boolean => {
    if (groupId === undefined) return false;
    return groupId === id || inGroup(graph.groups.find((group) => group.id === groupId)?.parentId);
  };
  const group = graph.groups.some((candidate) => candidate.id === id);
  return group ? graph.tasks.filter((task) => inGroup(task.groupId)).map((task) => task.id) : [id];
}

/** What comes directly before each task, groups resolved. */
function upstreamOf(graph: DagGraph): Map<string, string[]> {
  const before = new Map(graph.tasks.map((task) => [task.id, task.upstream.flatMap((edge) => tasksOf(graph, edge.id))]));
  for (const group of graph.groups)
    for (const edge of group.upstream) for (const target of tasksOf(graph, group.id)) before.get(target)?.push(...tasksOf(graph, edge.id));
  return before;
}

/** A reference can only point back, so a cycle takes `chain`, `cross` or two tasks that name each other by `after`. */
function checkCycles(graph: DagGraph): Diagnostic[] {
  const before = upstreamOf(graph);
  const byId = new Map(graph.tasks.map((task) => [task.id, task]));
  const state = new Map<string, "open" | "done">();
  const found: Diagnostic[] = [];
  const visit = (task: TaskNode, trail: readonly string[]) => {
    if (state.get(task.id) === "done") return;
    if (state.get(task.id) === "open") {
      const cycle = [...trail.slice(trail.indexOf(task.id)), task.id].join(" → ");
      found.push({ code: "AL103", message: `the tasks wait for each other: ${cycle}`, at: task.placedAt });
      return;
    }
    state.set(task.id, "open");
    for (const id of before.get(task.id) ?? []) {
      const upstream = byId.get(id);
      if (upstream) visit(upstream, [...trail, task.id]);
    }
    state.set(task.id, "done");
  };
  for (const task of graph.tasks) visit(task, []);
  return found;
}

/** A task that needs two arms of a branch to succeed is reached only when both are chosen. */
function checkReach(graph: DagGraph): Diagnostic[] {
  return graph.tasks.flatMap((task) => {
    if (task.triggerRule !== "all_success" || task.ruleGiven) return [];
    for (const branch of graph.tasks) {
      if (branch.kind !== "branch" || !branch.arms) continue;
      const arms = Object.entries(branch.arms).filter(([, roots]) => roots.some((root) => task.upstream.some((edge) => isAfter(graph, edge.id, root))));
      if (arms.length > 1)
        return [
          {
            code: "AL107",
            message: `"${task.id}" is reached only if every one of the arms ${arms.map(([key]) => key).join(", ")} of "${branch.id}" runs: give it { triggerRule: "none_failed_min_one_success" }, or say "all_success" if that is meant`,
            at: task.placedAt,
          },
        ];
    }
    return [];
  });
}

/** Whether `id` is `root` or comes after it, by all_success tasks alone. */
function isAfter(graph: DagGraph, id: string, root: string, seen = new Set<string>()): boolean {
  if (id === root) return true;
  if (seen.has(id)) return false;
  seen.add(id);
  const task = graph.tasks.find((candidate) => candidate.id === id);
  return task?.triggerRule === "all_success" && task.upstream.some((edge) => isAfter(graph, edge.id, root, seen));
}

function checkRules(graph: DagGraph): Diagnostic[] {
  const mapped = new Set(graph.groups.filter((group) => group.over).map((group) => group.id));
  const topology = topologyOf(graph);
  return graph.tasks.flatMap((task) => {
    if (graph.failFast && task.triggerRule !== "all_success" && !task.teardown)
      return [
        { code: "AL108", message: `"${task.id}" has triggerRule "${task.triggerRule}"; with failFast Airflow takes only all_success`, at: task.placedAt },
      ];
    const setup = [...task.upstream].find(({ id }) => isSetup(topology, id));
    if (setup && task.triggerRule !== "all_success" && !task.teardown)
      return [{ code: "AL108", message: `"${task.id}" follows the setup "${setup.id}" and so must have triggerRule "all_success"`, at: task.placedAt }];
    if (task.triggerRule === "always" && task.groupId !== undefined && mapped.has(task.groupId))
      return [{ code: "AL108", message: `"${task.id}" in a mapped group cannot have triggerRule "always": use "all_done"`, at: task.placedAt }];
    if (task.kind !== "operator" && task.kind !== "items" && task.kind !== "task" && task.runIn)
      return [{ code: "AL111", message: `"${task.id}" is a ${task.kind}; only plain tasks run in an image: leave runIn out`, at: task.placedAt }];
    if (task.kind !== "operator" && task.kind !== "items" && task.transport === "coordinator") {
      const lacks = coordinatorLacks(graph, task);
      if (lacks)
        return [
          { code: "AL402", message: `"${task.id}" is to run through the coordinator, which cannot give it ${lacks}: leave transport out`, at: task.placedAt },
        ];
    }
    return [];
  });
}

/** Airflow's own limit (core.max_map_length), and the axes that the helper has. */
const maxMapLength = 1024;
const maxAxes = 4;

function checkMapping(graph: DagGraph): Diagnostic[] {
  const topology = topologyOf(graph);
  return graph.tasks.flatMap((task) => {
    const found: Diagnostic[] = [];
    const axes = task.mapping ?? [];
    if (task.mapping && topology.mappedGroup.has(task.id))
      found.push({
        code: "AL109",
        message: `"${task.id}" is mapped within a mapped group, which Airflow cannot run: map over pairs, or give the task the whole list`,
        at: task.placedAt,
      });
    const wrong = (message: string) => found.push({ code: "AL109", message, at: task.placedAt });
    if (task.kind !== "operator" && axes.length > maxAxes) wrong(`"${task.id}" is mapped over ${axes.length} lists; ${maxAxes} is the most`);
    const literal = axes.flatMap(({ over }) => (over.kind === "literal" ? [(over.value as readonly unknown[]).length] : []));
    const instances = literal.reduce((product, length) => product * length, 1);
    if (literal.length > 0 && instances > maxMapLength)
      wrong(`"${task.id}" would have ${instances} instances; Airflow takes ${maxMapLength} (core.max_map_length)`);
    const { instanceName } = task.settings;
    if (instanceName !== undefined && !instanceName.includes("{{") && task.kind !== "operator" && task.kind !== "items") {
      const inputs = [...Object.keys(task.inputs), ...axes.map((axis) => axis.input)];
      if (!inputs.includes(instanceName) && !inputs.includes(undefined)) wrong(`instanceName "${instanceName}" is not an input of "${task.id}"`);
    }
    return found;
  });
}

function checkPools(graph: DagGraph, pools: readonly string[] | undefined): Diagnostic[] {
  if (!pools) return [];
  const known = new Set([...pools, "default_pool"]);
  const all = [...graph.tasks.map((task) => ({ pool: task.settings.pool, at: task.placedAt })), { pool: graph.defaults.pool, at: graph.definedAt }];
  return all.flatMap(({ pool, at }) =>
    pool === undefined || known.has(pool) ? [] : [{ code: "AL110", message: `pool "${pool}" is none of the project's: ${[...known].join(", ")}`, at }],
  );
}

/** Text of a run that became part of a shell command could run anything. */
function checkShell(graph: DagGraph): Diagnostic[] {
  return graph.tasks.flatMap((task) => {
    if (task.kind !== "operator" || !task.operator.module.endsWith(".bash")) return [];
    const command = task.operator.args["bash_command"];
    let leads = false;
    if (command)
      walkExpr(command, (part) => {
        if (part.kind === "conf" || part.kind === "result" || part.kind === "item") leads = true;
        const text = part.kind === "jinja" ? part.source : part.kind === "literal" ? JSON.stringify(part.value) : "";
        if (/\{\{[^}]*\b(params|conf|xcom_pull|var)\b/.test(text)) leads = true;
      });
    return leads
      ? [
          {
            code: "AL501",
            message: `the bash_command of "${task.id}" holds a value of the run, which a shell would read as code: pass it in env and write "$NAME"`,
            at: task.placedAt,
          },
        ]
      : [];
  });
}

/** Each default must fit its own schema, or every run without a conf would fail. */
function checkDefaults(graph: DagGraph, conf: Schema): Diagnostic[] {
  return Object.entries(conf["properties"] as Record<string, Schema>).flatMap(([name, schema]) => {
    if (schema["default"] === undefined) return [];
    const why = schemaProblem(schema["default"], schema, "");
    if (why === undefined) return [];
    return [{ code: "AL203", message: `conf.${name}: its @default ${JSON.stringify(schema["default"])} does not fit: ${why}`, at: graph.definedAt }];
  });
}

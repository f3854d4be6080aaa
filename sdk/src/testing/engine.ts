import type { Json } from "../authoring/json.ts";
import type { DagGraph, MappingAxis, TaskNode } from "../ir/ir.ts";
import type { TaskSettings } from "../ir/settings.ts";
import { effectiveSettings, isSetup, type SkipDecision, skippedBy, topologyOf, type Topology } from "../ir/topology.ts";
import type { Outcome } from "../runtime/channel.ts";
import type { Clock } from "./clock.ts";
import { type Instance, newInstance } from "./run-state.ts";

import { type AnyRule, decide, finishedStates, type InstanceState, type UpstreamCounts } from "./trigger-rules.ts";

/** What runs an instance, and hears of changes. */
export interface EngineOptions {
  readonly clock: Clock;
  /** Instances that run at once. */
  readonly concurrency: number;
  execute(task: TaskNode, instance: Instance, settings: TaskSettings): Promise<Outcome>;
  /** The list that an axis goes over. */
  listOf(over: MappingAxis["over"]): Json;
  onState(task: TaskNode, instance: Instance, settings: TaskSettings): Promise<void> | void;
}

/** A run as Airflow's scheduler would drive it: dependencies, mapping, retries, waiting. It knows nothing of what tasks do. */
export interface Engine {
  readonly topology: Topology;
  /** By task id, in order of the map index. */
  readonly instances: ReadonlyMap<string, Instance[]>;
  run(): Promise<"success" | "failed">;
}

/** Prepares a run of a graph. */
export function createEngine(graph: DagGraph, options: EngineOptions): Engine {
  const topology = topologyOf(graph);
  const { tasks, upstream, downstream, mappedGroup } = topology;
  const instances = new Map<string, Instance[]>(graph.tasks.map((task) => [task.id, [newInstance(task.id, -1)]]));
  const expanded = new Set<string>();
  const settings = new Map(graph.tasks.map((task) => [task.id, effectiveSettings(graph, task)]));
  const setups = new Set(graph.tasks.filter((task) => isSetup(topology, task.id)).map((task) => task.id));
  /** Instances whose dependencies may have changed. */
  const dirty = new Set<Instance>([...instances.values()].flat());

  const touch = (taskId: string) => {
    for (const instance of instances.get(taskId)!) dirty.add(instance);
  };

  async function setState(instance: Instance, state: InstanceState): Promise<void> {
    if (instance.state === state) return;
    instance.state = state;
    await options.onState(tasks.get(instance.taskId)!, instance, settings.get(instance.taskId)!);
    if (!finishedStates.has(state)) return;
    for (const id of downstream.get(instance.taskId)!) touch(id);
    // A setup holds back all that stands between it and its teardown.
    if (setups.has(instance.taskId)) for (const id of topology.after(instance.taskId)) touch(id);
  }

  /** The instances of a task before it that matter to an instance: in one mapped group those of its own index. */
  function relevant(id: string, of: Instance): Instance[] {
    const all = instances.get(id)!;
    const group = mappedGroup.get(id);
    if (!group || group !== mappedGroup.get(of.taskId)) return all;
    if (of.mapIndex < 0) return expanded.has(id) ? [] : all.filter((instance) => instance.state !== "none");
    return expanded.has(id) ? all.filter((instance) => instance.mapIndex === of.mapIndex) : all;
  }

  function count(before: readonly Instance[]): UpstreamCounts {
    const of = (state: InstanceState, among = before) => among.filter((instance) => instance.state === state).length;
    const own = before.filter((instance) => setups.has(instance.taskId));
    return {
      total: before.length,
      success: of("success"),
      skipped: of("skipped"),
      failed: of("failed"),
      upstreamFailed: of("upstream_failed"),
      removed: of("removed"),
      setups: own.length,
      setupsSucceeded: of("success", own),
      setupsSkipped: of("skipped", own),
    };
  }

  /** What a task is mapped over, itself or through its group. */
  const axesOf = (task: TaskNode): readonly MappingAxis["over"][] => {
    const group = mappedGroup.get(task.id);
    return group?.over ? [group.over] : (task.mapping ?? []).map((axis) => axis.over);
  };

  /** Whether all that comes before lets an instance run; may end it instead. */
  async function isReady(instance: Instance): Promise<boolean> {
    const task = tasks.get(instance.taskId)!;
    if (wasSkipped(instance)) {
      await setState(instance, "skipped");
      return false;
    }
    const setupCounts = count(topology.indirectSetups(task.id).flatMap((id) => relevant(id, instance)));
    if (setupCounts.total > 0) {
      const verdict = decide("all_success", setupCounts);
      if (verdict !== "run") {
        if (verdict !== "wait") await setState(instance, verdict);
        return false;
      }
    }
    if (upstream.get(task.id)!.size > 0) {
      const rule: AnyRule = task.teardown ? "all_done_setup_success" : task.triggerRule;
      const verdict = decide(rule, count([...upstream.get(task.id)!].flatMap((id) => relevant(id, instance))));
      if (verdict !== "run") {
        if (verdict !== "wait") await setState(instance, verdict);
        return false;
      }
    }
    return mappedUpstreamSucceeded(task, instance);
  }

  /** What makes a list must have succeeded, whatever the trigger rule. */
  async function mappedUpstreamSucceeded(task: TaskNode, instance: Instance): Promise<boolean> {
    for (const over of axesOf(task)) {
      if (over.kind !== "result") continue;
      const makers = instances.get(over.taskId)!.filter((maker) => maker.mapIndex < 0);
      const states = new Set(makers.map((maker) => maker.state));
      if (states.has("failed") || states.has("upstream_failed")) await setState(instance, "upstream_failed");
      else if (states.has("skipped")) await setState(instance, "skipped");
      else if (makers.every((maker) => maker.state === "success")) continue;
      return false;
    }
    return true;
  }

  /** Whether a branch or a short circuit directly before it decided that it is skipped. */
  function wasSkipped(instance: Instance): boolean {
    for (const id of upstream.get(instance.taskId)!) {
      const parent = tasks.get(id)!;
      if (parent.kind !== "branch" && parent.kind !== "shortCircuit") continue;
      const maker = instances.get(id)!.find((other) => other.mapIndex === (expanded.has(id) ? instance.mapIndex : -1));
      const decided = maker?.xcoms.get("skipmixin_key") as unknown as SkipDecision | undefined;
      if (decided && ("followed" in decided ? !decided.followed.includes(instance.taskId) : decided.skipped.includes(instance.taskId))) return true;
    }
    return false;
  }

  /** Makes a mapped task's instances, one for each combination of its lists; none at all skips it. */
  async function expand(task: TaskNode, summary: Instance): Promise<void> {
    const lists = axesOf(task).map((over) => options.listOf(over));
    const length = lists.reduce<number>((product, list) => product * (list as readonly Json[]).length, 1);
    if (length === 0) return setState(summary, "skipped");
    expanded.add(task.id);
    const made = Array.from({ length }, (_, i) => newInstance(task.id, i));
    instances.set(task.id, made);
    for (const instance of made) dirty.add(instance);
    for (const id of downstream.get(task.id)!) touch(id);
  }

  const isMapped = (task: TaskNode) => axesOf(task).length > 0;

  /** Looks at all whose dependencies may have changed; gives those that can run now. */
  async function findReady(): Promise<Instance[]> {
    const ready: Instance[] = [];
    while (dirty.size > 0) {
      const [instance] = dirty;
      dirty.delete(instance!);
      if (instance!.state !== "none" || !instances.get(instance!.taskId)!.includes(instance!)) continue;
      if (!(await isReady(instance!))) continue;
      const task = tasks.get(instance!.taskId)!;
      if (isMapped(task) && instance!.mapIndex < 0) await expand(task, instance!);
      else ready.push(instance!);
    }
    return ready;
  }

  async function start(instance: Instance): Promise<void> {
    const task = tasks.get(instance.taskId)!;
    const own = settings.get(instance.taskId)!;
    const again = instance.state === "up_for_reschedule" || instance.state === "deferred";
    if (!again) {
      instance.tries++;
      instance.error = undefined;
      instance.waitingSince = undefined;
      instance.looks = 0;
    }
    instance.waitingSince ??= options.clock.now();
    instance.looks++;
    await setState(instance, "running");
    await settle(task, instance, own, await options.execute(task, instance, own));
  }

  async function settle(task: TaskNode, instance: Instance, own: TaskSettings, outcome: Outcome): Promise<void> {
    instance.error = outcome.type === "failed" ? outcome.message : undefined;
    switch (outcome.type) {
      case "skipped":
        return setState(instance, "skipped");
      case "failed": {
        if (outcome.terminal || instance.tries > (own.retries ?? 0)) return setState(instance, "failed");
        instance.wakeAt = options.clock.now() + retryDelayMs(own, instance.tries);
        return setState(instance, "up_for_retry");
      }
      case "pending": {
        const waited = options.clock.now() - instance.waitingSince!;
        if (waited > (own.waitTimeoutSeconds ?? Infinity) * 1000) {
          instance.error = `waited for more than ${own.waitTimeoutSeconds} s`;
          return setState(instance, own.softFail ? "skipped" : "failed");
        }
        instance.wakeAt = options.clock.now() + pokeIntervalMs(own, instance.looks);
        return setState(instance, own.waiting === "defer" ? "deferred" : "up_for_reschedule");
      }
      case "succeeded": {
        if (outcome.value !== null) instance.xcoms.set("return_value", outcome.value);
        await skipAfter(task, instance, outcome.value);
        return setState(instance, "success");
      }
    }
  }

  /** What a branch did not choose, and what comes after a short circuit that ended it, is skipped at once. */
  async function skipAfter(task: TaskNode, instance: Instance, value: Json): Promise<void> {
    const decided = skippedBy(topology, task, value, settings.get(task.id)!.respectTriggerRules ?? false);
    if (!decided) return;
    instance.xcoms.set("skipmixin_key", decided.decision as unknown as Json);
    if (instance.mapIndex >= 0) {
      const group = mappedGroup.get(task.id);
      const own = decided.skipped.filter((id) => group !== undefined && mappedGroup.get(id) === group).flatMap((id) => instances.get(id)!);
      for (const other of own) if (other.mapIndex === instance.mapIndex && other.state === "none") await setState(other, "skipped");
      return;
    }
    for (const id of decided.skipped)
      for (const other of instances.get(id)!) if (other.mapIndex < 0 && other.state === "none") await setState(other, "skipped");
  }

  return {
    topology,
    instances,
    async run() {
      // Lists that stand in the DAG are expanded when the run is made.
      for (const task of graph.tasks)
        if (isMapped(task) && axesOf(task).every((over) => over.kind === "literal")) await expand(task, instances.get(task.id)![0]!);
      const running = new Set<Promise<void>>();
      const queue: Instance[] = [];
      for (;;) {
        queue.push(...(await findReady()));
        const now = options.clock.now();
        const asleep = [...instances.values()].flat().filter(({ state }) => state === "up_for_retry" || state === "up_for_reschedule" || state === "deferred");
        if (asleep.length > 0) queue.push(...asleep.filter((instance) => instance.wakeAt <= now && !queue.includes(instance)));
        while (queue.length > 0 && running.size < options.concurrency) {
          const next: Promise<void> = start(queue.shift()!).finally(() => running.delete(next));
          running.add(next);
        }
        const wake = Math.min(...asleep.filter((instance) => instance.wakeAt > now).map((instance) => instance.wakeAt));
        if (running.size > 0) await Promise.race([...running, ...(Number.isFinite(wake) && !options.clock.jumps ? [options.clock.waitUntil(wake)] : [])]);
        else if (Number.isFinite(wake)) await options.clock.waitUntil(wake);
        else if (queue.length === 0 && dirty.size === 0) break;
      }
      // Airflow calls this a deadlock: what is left can never run.
      for (const instance of [...instances.values()].flat()) if (!finishedStates.has(instance.state)) await setState(instance, "upstream_failed");
      return runState(graph, topology, instances);
    },
  };
}

/** The last tasks decide; teardowns only where they are said to. */
function runState(graph: DagGraph, topology: Topology, instances: ReadonlyMap<string, Instance[]>): "success" | "failed" {
  const counts = (task: TaskNode) => !task.teardown || task.teardown.failRun;
  const leaves = graph.tasks.filter((task) => counts(task) && [...topology.downstream.get(task.id)!].every((id) => !counts(topology.tasks.get(id)!)));
  const decisive = leaves.length > 0 ? leaves : graph.tasks.filter((task) => topology.downstream.get(task.id)!.size === 0);
  const states = decisive.flatMap((task) => instances.get(task.id)!.map((instance) => instance.state));
  return states.some((state) => state === "failed" || state === "upstream_failed") ? "failed" : "success";
}

/** Airflow adds up to as much again by chance to a delay that grows; here it is the delay alone. */
function retryDelayMs(settings: TaskSettings, tries: number): number {
  const base = (settings.retryDelaySeconds ?? 300) * 1000;
  const factor = settings.retryBackoff === true ? 2 : typeof settings.retryBackoff === "number" ? settings.retryBackoff : 1;
  return Math.min(base * factor ** (tries - 1), (settings.maxRetryDelaySeconds ?? 24 * 3600) * 1000);
}

function pokeIntervalMs(settings: TaskSettings, looks: number): number {
  const base = (settings.pokeIntervalSeconds ?? 60) * 1000;
  return settings.pokeBackoff ? Math.min(base * 2 ** (looks - 1), (settings.maxPokeIntervalSeconds ?? Infinity) * 1000) : base;
}

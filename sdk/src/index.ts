/** The authoring API: what a DAG file and its tasks import. */
export type { Connection, Log, RunInfo, TaskContext } from "./authoring/context.ts";
export { type Dag, dag, type DagOptions, type DagScope } from "./authoring/dag.ts";
export type { Duration } from "./authoring/duration.ts";
export type { Json } from "./authoring/json.ts";
export { isNotYet, type NotYet, notYet, Skip, TerminalError } from "./authoring/outcome.ts";
export type { Input, Ref } from "./authoring/ref.ts";
export { type Placement, sensor, type SensorOptions, type Task, task, type TaskOptions } from "./authoring/task.ts";
export { template } from "./authoring/template.ts";

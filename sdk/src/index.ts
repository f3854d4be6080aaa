/** The authoring API: what a DAG file and its tasks import. */
export { allOf, anyOf, type AnyAsset, type Asset, asset, type AssetAlias, assetAlias, type AssetExpression, type AssetOptions } from "./authoring/asset.ts";
export type { AssetEvent, Connection, Log, RunInfo, RunValues, TaskContext } from "./authoring/context.ts";
export { type BuiltDag, type Dag, dag, type DagOptions, type DagScope, type DeadlineOption } from "./authoring/dag.ts";
export type { Duration } from "./authoring/duration.ts";
export { chain, cross, type Edgeable, label } from "./authoring/edges.ts";
export { type Group, group, type GroupOptions, mapGroup } from "./authoring/group.ts";
export type { Json } from "./authoring/json.ts";
export { each, type Elements, zip } from "./authoring/mapping.ts";
export { type Operator, pythonOperator, waitFor } from "./authoring/operator.ts";
export type { Callback, CallbackInfo, MappedPlacement, Placement, SensorOptions, TaskDefaults, TaskOptions } from "./authoring/options.ts";
export { isNotYet, type NotYet, notYet, Skip, TerminalError } from "./authoring/outcome.ts";
export { datetime, type Notifier, notifier, type PythonTime, timedelta, type Trigger, trigger } from "./authoring/python-object.ts";
export { type Input, type Ref, xcom } from "./authoring/ref.ts";
export { assetsOrTime, cron, type CronOptions, every, type ScheduleOption, type Timezone } from "./authoring/schedule.ts";
export { type Branch, branch, sensor, shortCircuit, type ShortCircuitOptions, type Task, task } from "./authoring/task.ts";
export { jinja, template } from "./authoring/template.ts";

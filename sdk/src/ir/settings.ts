import type { Json } from "../authoring/json.ts";

/** How a task runs, in plain values; undefined leaves it to the DAG, and then to Airflow. */
export interface TaskSettings {
  readonly retries?: number;
  readonly retryDelaySeconds?: number;
  /** true doubles the delay after each try; a number (Airflow 3.2 and newer) multiplies it. */
  readonly retryBackoff?: boolean | number;
  readonly maxRetryDelaySeconds?: number;
  /** A try that takes longer is ended. */
  readonly timeoutSeconds?: number;
  readonly pool?: string;
  readonly poolSlots?: number;
  readonly priorityWeight?: number;
  readonly weightRule?: "downstream" | "upstream" | "absolute";
  readonly queue?: string;
  readonly executor?: string;
  readonly executorConfig?: Json;
  readonly maxActivePerDag?: number;
  readonly maxActivePerRun?: number;
  readonly dependsOnPast?: boolean;
  readonly waitForDownstream?: boolean;
  readonly owner?: string;
  readonly displayName?: string;
  readonly doc?: string;
  readonly params?: Readonly<Record<string, Json>>;
  /** The input whose value names each mapped instance, or Jinja text. */
  readonly instanceName?: string;
  readonly multipleOutputs?: boolean;
  /** Short circuits: whether tasks further down keep their trigger rules. */
  readonly respectTriggerRules?: boolean;
  /** Sensors: how they wait between two looks. */
  readonly waiting?: "reschedule" | "poke" | "defer";
  readonly pokeIntervalSeconds?: number;
  readonly pokeBackoff?: boolean;
  readonly maxPokeIntervalSeconds?: number;
  readonly waitTimeoutSeconds?: number;
  readonly softFail?: boolean;
}

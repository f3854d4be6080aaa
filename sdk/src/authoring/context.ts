import type { AnyAsset, Asset, AssetAlias } from "./asset.ts";
import type { Json } from "./json.ts";

/** Shown beside a message. */
export type LogFields = Readonly<Record<string, unknown>>;
/** Writes to the task's log in Airflow. */
export interface Log {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
}

/** An Airflow connection, as its owner entered it. */
export interface Connection {
  readonly type: string;
  readonly host: string | null;
  readonly port: number | null;
  readonly login: string | null;
  readonly password: string | null;
  readonly schema: string | null;
  readonly extra: Readonly<Record<string, Json>>;
}

/** What is known of a run while its DAG is written: references, for inputs and templates. Dates are ISO 8601. */
export interface RunValues {
  readonly id: string;
  readonly logicalDate: string | null;
  /** The logical date's day, YYYY-MM-DD. */
  readonly ds: string | null;
  readonly dataIntervalStart: string | null;
  readonly dataIntervalEnd: string | null;
  /** manual, scheduled, backfill or asset_triggered. */
  readonly type: string;
  readonly dagId: string;
}

/** How a run of a DAG stands. A run that is queued or running may still do its work; the others do none until they are cleared. */
export type DagRunState = "queued" | "running" | "success" | "failed";

/** What a handler knows of the run it is part of. Names are Airflow's. */
export interface RunInfo {
  readonly dagId: string;
  readonly taskId: string;
  readonly runId: string;
  /** From 1. */
  readonly tryNumber: number;
  /** −1 for a task that is not mapped. */
  readonly mapIndex: number;
  /** ISO 8601, or null for a run without one. */
  readonly logicalDate: string | null;
  readonly dataIntervalStart: string | null;
  readonly dataIntervalEnd: string | null;
  /**
   * From when on the run could start; for a run that was triggered without saying so, the moment of triggering. It stays when the
   * run or a task is cleared, and a run that was deleted and triggered again under the same id has another: the id and this name
   * one run. ISO 8601 in milliseconds; null where Airflow does not say. Airflow 2 has the logical date instead.
   */
  readonly runAfter: string | null;
  /**
   * When the scheduler started the run: anew once it, or a task of it, was cleared after its end. Clearing a task of a run that
   * still runs changes nothing. ISO 8601 in milliseconds; null where Airflow does not say.
   */
  readonly startedAt: string | null;
  /**
   * How often something of the run was cleared, be it all of it or one task; a retry does not count. From 0, which a run that was
   * deleted and triggered again begins with too. Airflow 2 counts only clearing after the run's end.
   */
  readonly clearNumber: number;
  readonly runType: string;
  /** What the run was triggered with, before defaults. */
  readonly conf: Readonly<Record<string, Json>>;
  /** The conf with its defaults, and the task's own params. */
  readonly params: Readonly<Record<string, Json>>;
}

/** News of an asset. */
export interface AssetEvent {
  readonly asset: string;
  readonly uri: string;
  readonly extra: Readonly<Record<string, Json>>;
  /** Which task made it; null for one from outside. */
  readonly source: { readonly dagId: string; readonly taskId: string; readonly runId: string } | null;
  readonly timestamp: string;
}

/** What a handler gets beside its input. */
export interface TaskContext {
  readonly run: RunInfo;
  readonly log: Log;
  /** Aborted when the task is cleared, marked, timed out or its worker stops; the process is killed soon after. */
  readonly signal: AbortSignal;
  getVariable(key: string): Promise<string | undefined>;
  setVariable(key: string, value: string): Promise<void>;
  getConnection(id: string): Promise<Connection | undefined>;
  /** How a run stands now, of this DAG or another; undefined for one that does not exist, because it was deleted or never was. */
  getRunState(dagId: string, runId: string): Promise<DagRunState | undefined>;
  getXCom(taskId: string, key?: string): Promise<Json | undefined>;
  setXCom(key: string, value: Json): Promise<void>;
  /** Hides a text in this task's log from now on. A connection's password is hidden without asking. */
  maskSecret(text: string): Promise<void>;
  /** Puts metadata on the event of an outlet; an alias needs `to`, the asset that was made. */
  emit(outlet: Asset, extra: Readonly<Record<string, Json>>): Promise<void>;
  emit(outlet: AssetAlias, event: { readonly to: Asset; readonly extra?: Readonly<Record<string, Json>> }): Promise<void>;
  /** The events that started this run, by the asset's name. */
  triggeringEvents(): Promise<Readonly<Record<string, readonly AssetEvent[]>>>;
  /** All events of an inlet, oldest first. */
  inletEvents(inlet: AnyAsset): Promise<readonly AssetEvent[]>;
}

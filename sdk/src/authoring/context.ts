import type { Json } from "./json.ts";

/** Writes to the task's log in Airflow. Fields are shown beside the message. */
export type LogFields = Readonly<Record<string, unknown>>;
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
  getXCom(taskId: string, key?: string): Promise<Json | undefined>;
  setXCom(key: string, value: Json): Promise<void>;
}

import { userInfo } from "node:os";
import type { Db } from "./database.ts";

/** Which task of which pipeline run does something. All four together: a run id is unique within its DAG only. */
export interface RunKey {
  readonly dagId: string;
  readonly runId: string;
  readonly taskId: string;
  /** −1 for a task that is not mapped. */
  readonly mapIndex: number;
}

/** Who does something: a task of a run, or a person at a terminal. */
export type Actor = RunKey | { readonly person: string };

/** The person at this terminal. */
export const personHere = (): Actor => ({ person: userInfo().username });

/** What happened to what: `image`, `batch`, `class`, `version`, `model`, `source` or `storage`, and the verb. */
export interface NewEvent {
  readonly kind: `${"image" | "batch" | "class" | "version" | "model" | "source" | "storage"}.${string}`;
  /** The SHA-256, id, name or commit that it is about. */
  readonly subject: string;
  readonly detail?: object;
}

/** Writes down what happened; nobody changes or removes it afterwards. */
export async function recordEvents(db: Db, actor: Actor, events: readonly NewEvent[]): Promise<void> {
  if (events.length === 0) return;
  const who =
    "person" in actor
      ? { actor: actor.person, dag_id: null, run_id: null, task_id: null, map_index: null }
      : { actor: "airflow", dag_id: actor.dagId, run_id: actor.runId, task_id: actor.taskId, map_index: actor.mapIndex };
  await db
    .insertInto("events")
    .values(events.map(({ kind, subject, detail }) => ({ ...who, kind, subject, detail: JSON.stringify(detail ?? {}) })))
    .execute();
}

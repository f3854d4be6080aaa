import { sql, type Transaction } from "kysely";
import type { Db } from "./database.ts";
import { recordEvents, type RunKey } from "./events.ts";
import type { ModelRow, Tables } from "./tables.ts";

export interface NewModel {
  readonly name: string;
  readonly version: string;
  readonly mlflowRun: string;
  readonly datasetCommit: string;
  /** SHA-256 by file name. */
  readonly files: Readonly<Record<string, string>>;
}

/** Writes down a registered model and what it came from; the same again changes nothing. */
export async function recordModel(trx: Transaction<Tables>, model: NewModel, run: RunKey): Promise<void> {
  const { name, version, mlflowRun, datasetCommit } = model;
  const inserted = await trx
    .insertInto("models")
    .values({ name, version, mlflow_run: mlflowRun, dag_id: run.dagId, run_id: run.runId, dataset_commit: datasetCommit })
    .onConflict((conflict) => conflict.doNothing())
    .returning("name")
    .executeTakeFirst();
  if (!inserted) return;
  await trx
    .insertInto("model_files")
    .values(Object.entries(model.files).map(([file, sha256]) => ({ name, version, file, sha256 })))
    .execute();
  await recordEvents(trx, run, [{ kind: "model.registered", subject: `${name}@${version}`, detail: { mlflowRun, datasetCommit } }]);
}

/** Writes down that the inference service was given a model; the same again, by the same run, changes nothing. */
export async function recordPublished(trx: Transaction<Tables>, name: string, version: string, run: RunKey): Promise<void> {
  await trx
    .updateTable("models")
    .set({ published_at: sql`coalesce(published_at, now())` })
    .where("name", "=", name)
    .where("version", "=", version)
    .execute();
  const event = { kind: "model.published", subject: `${name}@${version}` } as const;
  const told = await trx
    .selectFrom("events")
    .select("id")
    .where("subject", "=", event.subject)
    .where("kind", "=", event.kind)
    .where("dag_id", "=", run.dagId)
    .where("run_id", "=", run.runId)
    .limit(1)
    .executeTakeFirst();
  if (!told) await recordEvents(trx, run, [event]);
}

/** Models with a file whose SHA-256 begins so. One training done twice may give the same bytes. */
export async function modelsWithFile(db: Db, sha256: string): Promise<ModelRow[]> {
  return db
    .selectFrom("models")
    .selectAll()
    .where(({ exists, selectFrom }) =>
      exists(
        selectFrom("model_files")
          .select("file")
          .whereRef("model_files.name", "=", "models.name")
          .whereRef("model_files.version", "=", "models.version")
          .where("sha256", ">=", sha256)
          .where("sha256", "<", `${sha256}g`),
      ),
    )
    .orderBy("registered_at")
    .execute();
}

export async function findModels(db: Db, name: string, version: string): Promise<ModelRow[]> {
  return db.selectFrom("models").selectAll().where("name", "=", name).where("version", "=", version).execute();
}

/** Models that were trained on one of the commits. */
export async function modelsOf(db: Db, commits: readonly string[]): Promise<ModelRow[]> {
  if (commits.length === 0) return [];
  return db
    .selectFrom("models")
    .selectAll()
    .where("dataset_commit", "=", sql<string>`any(${[...commits]}::text[])`)
    .orderBy("registered_at")
    .execute();
}

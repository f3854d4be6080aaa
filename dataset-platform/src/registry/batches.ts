import { createHash } from "node:crypto";
import { sql, type Transaction } from "kysely";
import { type Db, inTransaction, isDuplicate } from "./database.ts";
import { type Actor, recordEvents, type RunKey } from "./events.ts";
import { holdNamedLock } from "./locks.ts";
import type { BatchRow, ImageRow, Tables } from "./tables.ts";

/** A batch that is not this run's any more, or not at all. */
export class BatchGone extends Error {
  override readonly name = "BatchGone";
}

export interface ClaimOptions {
  readonly run: RunKey;
  readonly sourceId: string;
  /** The most pictures. */
  readonly size: number;
  /** When the run was to begin. It stays when tasks are cleared, and is another for a run that was deleted and triggered again under its id. */
  readonly runAfter: string;
  /** Whether the run that holds an open batch is over: it was deleted, or ended without storing annotations. */
  readonly isOver: (run: RunKey) => Promise<boolean>;
}

export interface Claim {
  readonly batch: BatchRow;
  /** own: chosen by this run before; adopted: of a run that is over; new: chosen now. */
  readonly how: "own" | "adopted" | "new";
}

/** A batch's id: the same for the same task of the same run. */
const idOf = ({ dagId, runId, taskId, mapIndex }: RunKey, generation: number) =>
  createHash("sha256")
    .update(JSON.stringify([dagId, runId, taskId, mapIndex, generation]))
    .digest("hex")
    .slice(0, 10);

/**
 * The batch of a task: the one that it chose before; else one of the same source whose run is over and whose annotations were
 * never stored; else up to `size` pictures that wait, oldest first. Undefined where there is none. Two at once never get the
 * same picture or batch.
 */
export async function claimBatch(db: Db, options: ClaimOptions): Promise<Claim | undefined> {
  const newest = await newestBatchOf(db, options.run);
  // A run of the same name that was deleted is another run, and so is one that asked for another source.
  const isFormer = newest !== undefined && (newest.run_after !== options.runAfter || newest.source_id !== options.sourceId);
  if (newest && newest.state !== "released" && !isFormer) return { batch: newest, how: "own" };
  const generation = newest ? newest.generation + 1 : 0;
  const adopted = await adoptOrphan(db, options, generation);
  if (adopted) return { batch: adopted, how: "adopted" };
  try {
    const batch = await inTransaction(db, (trx) => chooseNew(trx, options, generation));
    return batch && { batch, how: "new" };
  } catch (error) {
    // The run's other try, which lives at the same time, was faster.
    const own = isDuplicate(error) ? await newestBatchOf(db, options.run) : undefined;
    if (own) return { batch: own, how: "own" };
    throw error;
  }
}

async function newestBatchOf(db: Db, { dagId, runId, taskId, mapIndex }: RunKey): Promise<BatchRow | undefined> {
  return db
    .selectFrom("batches")
    .selectAll()
    .where("dag_id", "=", dagId)
    .where("run_id", "=", runId)
    .where("task_id", "=", taskId)
    .where("map_index", "=", mapIndex)
    .orderBy("generation", "desc")
    .limit(1)
    .executeTakeFirst();
}

/** Makes an open batch of the source, whose run is over, this run's own. */
async function adoptOrphan(db: Db, { run, runAfter, sourceId, isOver }: ClaimOptions, generation: number): Promise<BatchRow | undefined> {
  const open = await db.selectFrom("batches").selectAll().where("source_id", "=", sourceId).where("state", "=", "open").orderBy("created_at").execute();
  for (const batch of open) {
    const isFormer = batch.dag_id === run.dagId && batch.run_id === run.runId && batch.run_after !== runAfter;
    if (!isFormer && !(await isOver(runOf(batch)))) continue;
    const adopted = await inTransaction(db, async (trx) => {
      const changed = await trx
        .updateTable("batches")
        .set({ dag_id: run.dagId, run_id: run.runId, task_id: run.taskId, map_index: run.mapIndex, run_after: runAfter, generation })
        .where("id", "=", batch.id)
        .where("state", "=", "open")
        // Another run may have adopted it since.
        .where("dag_id", "=", batch.dag_id)
        .where("run_id", "=", batch.run_id)
        .where("task_id", "=", batch.task_id)
        .where("map_index", "=", batch.map_index)
        .returningAll()
        .executeTakeFirst();
      if (changed) await recordEvents(trx, run, [{ kind: "batch.adopted", subject: batch.id, detail: { from: runOf(batch) } }]);
      return changed;
    });
    if (adopted) return adopted;
  }
  return undefined;
}

async function chooseNew(trx: Transaction<Tables>, { run, runAfter, sourceId, size }: ClaimOptions, generation: number): Promise<BatchRow | undefined> {
  const id = idOf(run, generation);
  // A try of the same task that lives at the same time must not choose beside this one, and get the younger pictures.
  await holdNamedLock(trx, `batch ${id}`);
  // Rows that another run is choosing right now are passed over, not waited for.
  const waiting = await trx
    .selectFrom("images")
    .select("sha256")
    .where("source_id", "=", sourceId)
    .where("state", "=", "new")
    .orderBy("ingested_at")
    .orderBy("sha256")
    .limit(size)
    .forUpdate()
    .skipLocked()
    .execute();
  if (waiting.length === 0) return undefined;
  const sha256s = waiting.map(({ sha256 }) => sha256);
  const row = {
    id,
    dag_id: run.dagId,
    run_id: run.runId,
    task_id: run.taskId,
    map_index: run.mapIndex,
    run_after: runAfter,
    generation,
    source_id: sourceId,
    state: "open" as const,
  };
  const batch = await trx.insertInto("batches").values(row).returningAll().executeTakeFirstOrThrow();
  await trx
    .insertInto("batch_images")
    .values(sha256s.map((sha256) => ({ batch_id: id, sha256 })))
    .execute();
  await trx.updateTable("images").set({ state: "claimed", batch_id: id }).where("sha256", "in", sha256s).execute();
  await recordEvents(trx, run, [{ kind: "batch.claimed", subject: id, detail: { source: sourceId, images: sha256s.length } }]);
  return batch;
}

export const runOf = (batch: BatchRow): RunKey => ({ dagId: batch.dag_id, runId: batch.run_id, taskId: batch.task_id, mapIndex: batch.map_index });

/** A batch by its id; throws where there is none. */
export async function findBatch(db: Db, id: string): Promise<BatchRow> {
  const batch = await db.selectFrom("batches").selectAll().where("id", "=", id).executeTakeFirst();
  if (!batch) throw new BatchGone(`there is no batch ${id}: \`npx airloom data list batches\` shows those that there are`);
  return batch;
}

/**
 * A batch that a run works on; throws where another run has adopted it or its pictures were given back. Any task of the run
 * may ask.
 */
export async function batchOfRun(db: Db, id: string, run: Pick<RunKey, "dagId" | "runId">): Promise<BatchRow> {
  const batch = await findBatch(db, id);
  if (batch.dag_id !== run.dagId || batch.run_id !== run.runId)
    throw new BatchGone(`batch ${id} now belongs to run ${batch.run_id} of ${batch.dag_id}, which adopted it when this run was over`);
  if (batch.state === "released") throw new BatchGone(`the pictures of batch ${id} were given back: ${batch.ended_why}. Trigger the pipeline again.`);
  return batch;
}

/** The pictures of a batch, whatever became of them since, by SHA-256. */
export async function imagesOfBatch(db: Db, id: string): Promise<ImageRow[]> {
  return db
    .selectFrom("batch_images")
    .innerJoin("images", "images.sha256", "batch_images.sha256")
    .selectAll("images")
    .where("batch_images.batch_id", "=", id)
    .orderBy("images.sha256")
    .execute();
}

/** What people are asked to mark, and where. */
export interface LabelingTask {
  readonly project: string;
  readonly asked: readonly number[];
  readonly cvatUrl: string;
  readonly cvatTaskId: number | null;
}

/** Writes down what a batch's people are asked, and its CVAT task once it is there. */
export async function setLabelingTask(trx: Transaction<Tables>, id: string, task: LabelingTask, actor: Actor): Promise<void> {
  await trx
    .updateTable("batches")
    .set({ project: task.project, asked: [...task.asked], cvat_url: task.cvatUrl, cvat_task_id: task.cvatTaskId })
    .where("id", "=", id)
    .execute();
  await recordEvents(trx, actor, [{ kind: "batch.asked", subject: id, detail: task }]);
}

/** Gives a batch's pictures back, unless its annotations are stored already; the number of pictures that wait again. */
export async function releaseBatch(db: Db, id: string, why: string, actor: Actor): Promise<number> {
  return inTransaction(db, async (trx) => {
    const ended = await trx
      .updateTable("batches")
      .set({ state: "released", ended_at: sql`now()`, ended_why: why })
      .where("id", "=", id)
      .where("state", "=", "open")
      .returning("id")
      .executeTakeFirst();
    if (!ended) return 0;
    // A picture that had been labelled before waits to be labelled again, as it did when it was claimed.
    const freed = await trx.updateTable("images").set({ state: "new", batch_id: null }).where("batch_id", "=", id).returning("sha256").execute();
    await recordEvents(trx, actor, [{ kind: "batch.released", subject: id, detail: { why, images: freed.length } }]);
    return freed.length;
  });
}

/** Open batches of a source, oldest first, with the number of pictures that each holds. */
export async function openBatches(db: Db, sourceId: string): Promise<(BatchRow & { images: number })[]> {
  return db
    .selectFrom("batches")
    .innerJoin("images", "images.batch_id", "batches.id")
    .selectAll("batches")
    .select((eb) => eb.fn.countAll<number>().as("images"))
    .where("batches.source_id", "=", sourceId)
    .where("batches.state", "=", "open")
    .groupBy("batches.id")
    .orderBy("batches.created_at")
    .execute();
}

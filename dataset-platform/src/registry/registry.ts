import { mkdirSync } from "node:fs";
import path from "node:path";
import { LibsqlDialect } from "@libsql/kysely-libsql";
import { type Insertable, Kysely, type Selectable, sql } from "kysely";

/** Everything known about an image. Times are ISO 8601 in UTC. */
interface ImageTable {
  sha256: string;
  md5: string;
  extension: string;
  bytes: number;
  /** Pixels as stored, before EXIF orientation. */
  width: number;
  height: number;
  /** EXIF orientation, 1 … 8. */
  orientation: number;
  source_id: string;
  original_name: string;
  ingested_at: string;
  batch_id: string | null;
  /** Set when its annotations were stored. */
  labelled_at: string | null;
}

/** Images that are labelled together, chosen by one pipeline run. */
interface BatchTable {
  id: string;
  /** The Airflow run that chose it: a retry finds its own batch again. */
  run_id: string;
  source_id: string;
  created_at: string;
  cvat_task_id: number | null;
}

interface Tables {
  images: ImageTable;
  batches: BatchTable;
}

export type ImageRow = Selectable<ImageTable>;
export type NewImage = Insertable<Omit<ImageTable, "batch_id" | "labelled_at">>;
export type BatchRow = Selectable<BatchTable>;

/** How long a writer waits for another before it gives up. */
const patienceMs = 30_000;

/**
 * Repeats work that met another writer. SQLite's own busy timeout would do, but it blocks the thread, and the driver forgets it
 * with each transaction.
 */
async function patiently<T>(work: () => Promise<T>): Promise<T> {
  const deadline = Date.now() + patienceMs;
  for (let waitMs = 5; ; waitMs = Math.min(200, waitMs * 2)) {
    try {
      return await work();
    } catch (error) {
      if (!/SQLITE_BUSY|database is locked/.test(String(error)) || Date.now() > deadline) throw error;
      await new Promise((resolve) => setTimeout(resolve, waitMs * (0.5 + Math.random())));
    }
  }
}

/** The registry of a storage folder: what is known about each image. Close it when done. */
export class Registry {
  readonly #db: Kysely<Tables>;

  private constructor(db: Kysely<Tables>) {
    this.#db = db;
  }

  /** Opens the SQLite file, making it and its tables on first use. */
  static async open(file: string): Promise<Registry> {
    mkdirSync(path.dirname(file), { recursive: true });
    const db = new Kysely<Tables>({ dialect: new LibsqlDialect({ url: `file:${file}` }) });
    await patiently(() => sql`pragma journal_mode = wal`.execute(db));
    await patiently(() => migrate(db));
    return new Registry(db);
  }

  async close(): Promise<void> {
    await this.#db.destroy();
  }

  /** Adds an image; false where it was known already. */
  async addImage(image: NewImage): Promise<boolean> {
    const insert = this.#db
      .insertInto("images")
      .values({ ...image, batch_id: null, labelled_at: null })
      .onConflict((conflict) => conflict.column("sha256").doNothing());
    const result = await patiently(() => insert.executeTakeFirst());
    return Number(result.numInsertedOrUpdatedRows ?? 0n) > 0;
  }

  async tryFindImage(sha256: string): Promise<ImageRow | undefined> {
    return this.#db.selectFrom("images").selectAll().where("sha256", "=", sha256).executeTakeFirst();
  }

  async allImages(): Promise<ImageRow[]> {
    return this.#db.selectFrom("images").selectAll().orderBy("sha256").execute();
  }

  /**
   * The batch of a run: the one it chose before, or up to `size` images of a source that no batch has yet, oldest first.
   * Undefined where there is none. Two runs at once never get the same image.
   */
  async claimBatch({
    id,
    runId,
    sourceId,
    size,
    now,
  }: {
    id: string;
    runId: string;
    sourceId: string;
    size: number;
    now: string;
  }): Promise<BatchRow | undefined> {
    const before = await this.#db.selectFrom("batches").selectAll().where("run_id", "=", runId).executeTakeFirst();
    if (before) return before;
    const claim = this.#db.transaction();
    return patiently(() =>
      claim.execute(async (trx) => {
        const free = trx
          .selectFrom("images")
          .select("sha256")
          .where("source_id", "=", sourceId)
          .where("batch_id", "is", null)
          .where("labelled_at", "is", null)
          .orderBy("ingested_at")
          .orderBy("sha256")
          .limit(size);
        // One statement that chooses and claims: SQLite lets no other writer in between.
        const claimed = await trx.updateTable("images").set({ batch_id: id }).where("sha256", "in", free).executeTakeFirst();
        if (claimed.numUpdatedRows === 0n) return undefined;
        const row: BatchRow = { id, run_id: runId, source_id: sourceId, created_at: now, cvat_task_id: null };
        await trx.insertInto("batches").values(row).execute();
        return row;
      }),
    );
  }

  async imagesOfBatch(id: string): Promise<ImageRow[]> {
    return this.#db.selectFrom("images").selectAll().where("batch_id", "=", id).orderBy("sha256").execute();
  }

  async setCvatTask(batchId: string, taskId: number): Promise<void> {
    const update = this.#db.updateTable("batches").set({ cvat_task_id: taskId }).where("id", "=", batchId);
    await patiently(() => update.execute());
  }

  async markLabelled(sha256: string, now: string): Promise<void> {
    const update = this.#db.updateTable("images").set({ labelled_at: now }).where("sha256", "=", sha256);
    await patiently(() => update.execute());
  }
}

async function migrate(db: Kysely<Tables>): Promise<void> {
  await db.schema
    .createTable("images")
    .ifNotExists()
    .addColumn("sha256", "text", (column) => column.primaryKey())
    .addColumn("md5", "text", (column) => column.notNull())
    .addColumn("extension", "text", (column) => column.notNull())
    .addColumn("bytes", "integer", (column) => column.notNull())
    .addColumn("width", "integer", (column) => column.notNull())
    .addColumn("height", "integer", (column) => column.notNull())
    .addColumn("orientation", "integer", (column) => column.notNull())
    .addColumn("source_id", "text", (column) => column.notNull())
    .addColumn("original_name", "text", (column) => column.notNull())
    .addColumn("ingested_at", "text", (column) => column.notNull())
    .addColumn("batch_id", "text")
    .addColumn("labelled_at", "text")
    .execute();
  await db.schema
    .createTable("batches")
    .ifNotExists()
    .addColumn("id", "text", (column) => column.primaryKey())
    .addColumn("run_id", "text", (column) => column.notNull().unique())
    .addColumn("source_id", "text", (column) => column.notNull())
    .addColumn("created_at", "text", (column) => column.notNull())
    .addColumn("cvat_task_id", "integer")
    .execute();
  await db.schema.createIndex("images_by_batch").ifNotExists().on("images").columns(["batch_id", "source_id"]).execute();
}

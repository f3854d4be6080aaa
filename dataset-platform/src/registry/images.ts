import { type Insertable, sql, type Transaction } from "kysely";
import type { Db } from "./database.ts";
import { type Actor, recordEvents } from "./events.ts";
import type { ImageRow, Tables } from "./tables.ts";

/** What ingest knows of a picture. Its group is itself unless it belongs to an older one. */
export type NewImage = Omit<
  Insertable<Tables["images"]>,
  "state" | "state_why" | "batch_id" | "excluded_by_batch" | "annotation_id" | "committed_annotation_id" | "group_id" | "recording" | "grouped"
> & {
  readonly group_id?: string;
};

/** Adds a picture that waits to be labelled; false where it was known already. */
export async function addImage(trx: Transaction<Tables>, image: NewImage, actor: Actor): Promise<boolean> {
  await trx
    .insertInto("sources")
    .values({ id: image.source_id })
    .onConflict((conflict) => conflict.doNothing())
    .execute();
  const row = { ...image, group_id: image.group_id ?? image.sha256, state: "new" as const };
  const inserted = await trx
    .insertInto("images")
    .values(row)
    .onConflict((conflict) => conflict.column("sha256").doNothing())
    .returning("sha256")
    .executeTakeFirst();
  if (!inserted) return false;
  const detail = { source: image.source_id, name: image.original_name };
  await recordEvents(trx, actor, [{ kind: "image.added", subject: image.sha256, detail }]);
  return true;
}

/** The rows of those pictures that are known. */
export async function findImages(db: Db, sha256s: readonly string[]): Promise<ImageRow[]> {
  if (sha256s.length === 0) return [];
  return db.selectFrom("images").selectAll().where("sha256", "in", sha256s).execute();
}

/** How many pictures are in each state, by source. */
export async function countImages(db: Db): Promise<{ source_id: string; state: ImageRow["state"]; images: number }[]> {
  return db
    .selectFrom("images")
    .select(["source_id", "state", (eb) => eb.fn.countAll<number>().as("images")])
    .groupBy(["source_id", "state"])
    .orderBy("source_id")
    .orderBy("state")
    .execute();
}

/** Takes pictures out of future batches and versions, with the reason. Those that a batch has claimed leave it. */
export async function excludeImages(trx: Transaction<Tables>, sha256s: readonly string[], why: string, actor: Actor): Promise<string[]> {
  if (sha256s.length === 0) return [];
  const changed = await trx
    .updateTable("images")
    .set({ state: "excluded", state_why: why, batch_id: null })
    .where("sha256", "in", sha256s)
    .where("state", "!=", "excluded")
    .returning("sha256")
    .execute();
  return told(trx, actor, "image.excluded", changed, { why });
}

/** Brings excluded pictures back: labelled again where they had been, else waiting to be labelled. */
export async function restoreImages(trx: Transaction<Tables>, sha256s: readonly string[], actor: Actor): Promise<string[]> {
  if (sha256s.length === 0) return [];
  const changed = await trx
    .updateTable("images")
    .set({ state: stateWithoutBatch, state_why: null, excluded_by_batch: null })
    .where("sha256", "in", sha256s)
    .where("state", "=", "excluded")
    .returning("sha256")
    .execute();
  return told(trx, actor, "image.restored", changed, {});
}

/** Lets labelled pictures be labelled again. Versions keep their boxes until there are new ones. */
export async function relabelImages(trx: Transaction<Tables>, sha256s: readonly string[], actor: Actor): Promise<string[]> {
  if (sha256s.length === 0) return [];
  const changed = await trx
    .updateTable("images")
    .set({ state: "new" })
    .where("sha256", "in", sha256s)
    .where("state", "=", "labelled")
    .returning("sha256")
    .execute();
  return told(trx, actor, "image.relabel", changed, {});
}

/** A picture that no batch has: labelled where there is an annotation, else waiting to be. */
export const stateWithoutBatch = sql<ImageRow["state"]>`case when annotation_id is null then 'new' else 'labelled' end`;

async function told(
  trx: Transaction<Tables>,
  actor: Actor,
  kind: "image.excluded" | "image.restored" | "image.relabel",
  rows: { sha256: string }[],
  detail: object,
) {
  await recordEvents(
    trx,
    actor,
    rows.map(({ sha256 }) => ({ kind, subject: sha256, detail })),
  );
  return rows.map(({ sha256 }) => sha256);
}

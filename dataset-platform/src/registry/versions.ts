import { sql, type Transaction } from "kysely";
import type { Db } from "./database.ts";
import { type Actor, recordEvents } from "./events.ts";
import type { Tables, VersionRow } from "./tables.ts";

/** A picture whose state in the next dataset version is another than in the newest one. */
export interface Change {
  readonly sha256: string;
  readonly extension: string;
  readonly md5: string;
  readonly bytes: number;
  /** Null: it leaves the version. */
  readonly annotation: { readonly id: number; readonly labelMd5: string; readonly labelBytes: number } | null;
}

/** Everything that the next version changes. Costs as much as there is to change. */
export async function uncommittedChanges(db: Db): Promise<Change[]> {
  const rows = await db
    .selectFrom("images")
    .leftJoin("annotations", "annotations.id", "images.visible_annotation_id")
    .select(["images.sha256", "extension", "md5", "bytes", "visible_annotation_id", "label_md5", "label_bytes"])
    .where("committed_annotation_id", "is distinct from", (eb) => eb.ref("visible_annotation_id"))
    .orderBy("images.sha256")
    .execute();
  return rows.map(({ visible_annotation_id: id, label_md5, label_bytes, ...image }) => ({
    ...image,
    annotation: id === null ? null : { id, labelMd5: label_md5!, labelBytes: label_bytes! },
  }));
}

/** A labelled picture, and the label file that its boxes make. */
export interface Labelled {
  readonly sha256: string;
  readonly extension: string;
  readonly md5: string;
  readonly bytes: number;
  readonly labelMd5: string;
  readonly labelBytes: number;
}

/** The pictures of the next version whose SHA-256 begins with two hex digits: one folder of images/. */
export async function labelledIn(db: Db, prefix: string): Promise<Labelled[]> {
  return (
    db
      .selectFrom("images")
      .innerJoin("annotations", "annotations.id", "images.visible_annotation_id")
      .select(["images.sha256", "extension", "md5", "bytes", "label_md5 as labelMd5", "label_bytes as labelBytes"])
      .where("images.sha256", ">=", prefix)
      // "g" comes after every hex digit.
      .where("images.sha256", "<", `${prefix}g`)
      .orderBy("images.sha256")
      .execute()
  );
}

export interface NewVersion {
  readonly commit: string;
  readonly parent: string | null;
  readonly message: string;
  readonly changes: readonly Change[];
}

/** Writes down a commit before the branch is moved to it, with all that it changes. */
export async function beginVersion(trx: Transaction<Tables>, version: NewVersion, actor: Actor): Promise<number> {
  const before = await trx.selectFrom("versions").select("images").orderBy("id", "desc").limit(1).executeTakeFirst();
  const run = "person" in actor ? { dag_id: null, run_id: null } : { dag_id: actor.dagId, run_id: actor.runId };
  const committed = await committedOf(
    trx,
    version.changes.map(({ sha256 }) => sha256),
  );
  const gained = version.changes.filter(({ sha256, annotation }) => annotation && !committed.has(sha256)).length;
  const lost = version.changes.filter(({ sha256, annotation }) => !annotation && committed.has(sha256)).length;
  const { commit, parent, message } = version;
  const row = { commit, parent, message, ...run, state: "writing" as const, images: (before?.images ?? 0) + gained - lost };
  const { id } = await trx.insertInto("versions").values(row).returning("id").executeTakeFirstOrThrow();
  await sql`
    insert into version_changes (version_id, sha256, annotation_id)
    select ${id}, * from unnest(
      ${version.changes.map(({ sha256 }) => sha256)}::text[],
      ${version.changes.map(({ annotation }) => annotation?.id ?? null)}::bigint[]
    )`.execute(trx);
  return id;
}

async function committedOf(db: Db, sha256s: readonly string[]): Promise<Set<string>> {
  const rows = await db
    .selectFrom("images")
    .select("sha256")
    .where("sha256", "=", sql<string>`any(${[...sha256s]}::text[])`)
    .where("committed_annotation_id", "is not", null)
    .execute();
  return new Set(rows.map(({ sha256 }) => sha256));
}

/** The version that was being written when its writer ended; undefined where there is none. */
export async function interruptedVersion(db: Db): Promise<VersionRow | undefined> {
  return db.selectFrom("versions").selectAll().where("state", "=", "writing").executeTakeFirst();
}

/** The branch holds the commit: what it changed is committed from now on. */
export async function finishVersion(trx: Transaction<Tables>, id: number, actor: Actor): Promise<void> {
  await trx
    .updateTable("images")
    .from("version_changes")
    .set((eb) => ({ committed_annotation_id: eb.ref("version_changes.annotation_id") }))
    .whereRef("version_changes.sha256", "=", "images.sha256")
    .where("version_changes.version_id", "=", id)
    .execute();
  const version = await trx.updateTable("versions").set({ state: "written" }).where("id", "=", id).returningAll().executeTakeFirstOrThrow();
  await recordEvents(trx, actor, [{ kind: "version.committed", subject: version.commit, detail: { message: version.message, images: version.images } }]);
}

/** The branch does not hold the commit: as if nothing had been written. */
export async function dropVersion(trx: Transaction<Tables>, id: number): Promise<void> {
  await trx.deleteFrom("versions").where("id", "=", id).where("state", "=", "writing").execute();
}

/** Versions whose objects may not all be on the remote, oldest first. */
export async function unpushedVersions(db: Db): Promise<VersionRow[]> {
  return db.selectFrom("versions").selectAll().where("state", "=", "written").where("pushed_at", "is", null).orderBy("id").execute();
}

export async function markPushed(db: Db, ids: readonly number[]): Promise<void> {
  if (ids.length === 0) return;
  await db
    .updateTable("versions")
    .set({ pushed_at: sql`now()` })
    .where("id", "in", ids)
    .execute();
}

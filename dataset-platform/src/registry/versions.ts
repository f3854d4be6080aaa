import { sql, type Transaction } from "kysely";
import type { Db } from "./database.ts";
import { type Actor, recordEvents, type RunKey } from "./events.ts";
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

/** The first two hex digits of the pictures that the next version changes: the folders of images/ that it writes again. */
export async function changedPrefixes(db: Db): Promise<string[]> {
  const { rows } = await sql<{ prefix: string }>`
    select distinct left(sha256, 2) as prefix from images where uncommitted order by 1`.execute(db);
  return rows.map(({ prefix }) => prefix);
}

/** Everything that the next version changes, in one folder of images/ or in all. Costs as much as there is to change. */
export async function uncommittedChanges(db: Db, prefix = ""): Promise<Change[]> {
  const rows = await db
    .selectFrom("images")
    .leftJoin("annotations", "annotations.id", "images.visible_annotation_id")
    .select(["images.sha256", "extension", "md5", "bytes", "visible_annotation_id", "label_md5", "label_bytes"])
    .where("uncommitted", "=", true)
    .where("images.sha256", ">=", prefix)
    .where("images.sha256", "<", afterPrefix(prefix))
    .orderBy("images.sha256")
    .execute();
  return rows.map(({ visible_annotation_id: id, label_md5, label_bytes, ...image }) => ({
    ...image,
    annotation: id === null ? null : { id, labelMd5: label_md5!, labelBytes: label_bytes! },
  }));
}

/** A text after all hashes that begin so: "g" comes after every hex digit. */
const afterPrefix = (prefix: string): string => `${prefix}g`;

/** A labelled picture, and the label file that its boxes make. */
export interface Labelled {
  readonly sha256: string;
  readonly extension: string;
  readonly md5: string;
  readonly bytes: number;
  readonly annotationId: number;
  readonly labelMd5: string;
  readonly labelBytes: number;
}

/** The pictures of the next version whose SHA-256 begins with two hex digits: one folder of images/. */
export async function labelledIn(db: Db, prefix: string): Promise<Labelled[]> {
  return db
    .selectFrom("images")
    .innerJoin("annotations", "annotations.id", "images.visible_annotation_id")
    .select(["images.sha256", "extension", "md5", "bytes", "annotations.id as annotationId", "label_md5 as labelMd5", "label_bytes as labelBytes"])
    .where("images.sha256", ">=", prefix)
    .where("images.sha256", "<", afterPrefix(prefix))
    .orderBy("images.sha256")
    .execute();
}

export interface NewVersion {
  readonly commit: string;
  readonly parent: string | null;
  readonly message: string;
  readonly changes: readonly VersionChange[];
}

/** What a version shows of a picture from now on; null: it leaves. */
export type VersionChange = Pick<Change, "sha256"> & { readonly annotation: { readonly id: number } | null };

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

/** The branch holds the commit: what it changed is committed from now on. Done again, or by another since, it changes nothing. */
export async function finishVersion(trx: Transaction<Tables>, id: number, actor: Actor): Promise<void> {
  const version = await trx
    .updateTable("versions")
    .set({ state: "written" })
    .where("id", "=", id)
    .where("state", "=", "writing")
    .returningAll()
    .executeTakeFirst();
  if (!version) return;
  await trx
    .updateTable("images")
    .from("version_changes")
    .set((eb) => ({ committed_annotation_id: eb.ref("version_changes.annotation_id") }))
    .whereRef("version_changes.sha256", "=", "images.sha256")
    .where("version_changes.version_id", "=", id)
    .execute();
  await recordEvents(trx, actor, [{ kind: "version.committed", subject: version.commit, detail: { message: version.message, images: version.images } }]);
}

/** The branch does not hold the commit: as if nothing had been written. */
export async function dropVersion(trx: Transaction<Tables>, id: number): Promise<void> {
  await trx.deleteFrom("versions").where("id", "=", id).where("state", "=", "writing").execute();
}

/** The newest version that was written; undefined where there is none. */
export async function newestVersion(db: Db): Promise<VersionRow | undefined> {
  return db.selectFrom("versions").selectAll().where("state", "=", "written").orderBy("id", "desc").limit(1).executeTakeFirst();
}

/** The version that a commit is; undefined for one that the registry did not make. */
export async function versionOfCommit(db: Db, commit: string): Promise<VersionRow | undefined> {
  return db.selectFrom("versions").selectAll().where("commit", "=", commit).executeTakeFirst();
}

/** The newest version that a run has made; undefined where it has made none. */
export async function versionOfRun(db: Db, { dagId, runId }: Pick<RunKey, "dagId" | "runId">): Promise<VersionRow | undefined> {
  return db
    .selectFrom("versions")
    .selectAll()
    .where("dag_id", "=", dagId)
    .where("run_id", "=", runId)
    .where("state", "=", "written")
    .orderBy("id", "desc")
    .limit(1)
    .executeTakeFirst();
}

/** Versions whose objects may not all be on this remote, oldest first. */
export async function unpushedVersions(db: Db, remote: string): Promise<VersionRow[]> {
  const elsewhere = sql<boolean>`(pushed_to is null or pushed_to < ${remote} or pushed_to > ${remote})`;
  return db.selectFrom("versions").selectAll().where("state", "=", "written").where(elsewhere).orderBy("id").execute();
}

/** Whether a version is known to be whole on this remote. */
export async function isKnownRemote(db: Db, remote: string): Promise<boolean> {
  return (await db.selectFrom("versions").select("id").where("pushed_to", "=", remote).limit(1).executeTakeFirst()) !== undefined;
}

/** The remote has all objects of these versions. */
export async function markPushed(db: Db, ids: readonly number[], remote: string): Promise<void> {
  if (ids.length === 0) return;
  await db
    .updateTable("versions")
    .set({ pushed_at: sql`now()`, pushed_to: remote })
    .where("id", "in", ids)
    .execute();
}

/** The bytes of a picture, and its label file: two objects. */
export interface PictureObjects {
  readonly md5: string;
  readonly bytes: number;
  readonly labelMd5: string;
  readonly labelBytes: number;
}

/** The objects that a version brought; costs as much as it changed. */
export async function objectsOfVersion(db: Db, id: number): Promise<PictureObjects[]> {
  return db
    .selectFrom("version_changes")
    .innerJoin("images", "images.sha256", "version_changes.sha256")
    .innerJoin("annotations", "annotations.id", "version_changes.annotation_id")
    .select(["md5", "bytes", "label_md5 as labelMd5", "label_bytes as labelBytes"])
    .where("version_changes.version_id", "=", id)
    .execute();
}

/** What the registry knows of a picture of a version. */
export interface VersionPicture {
  readonly sha256: string;
  readonly bytes: number;
  readonly groupId: string;
  /** Its annotation in the version: the label file's MD5, and the classes that people were asked to mark; null where unknown. */
  readonly labelMd5: string | null;
  readonly asked: readonly number[] | null;
}

/** The known pictures of folders of images/, as they were in a version; with no version, what never changes of them. */
export async function picturesOfVersion(db: Db, versionId: number | undefined, firstPrefix: string, lastPrefix: string): Promise<VersionPicture[]> {
  const { rows } = await sql<VersionPicture>`
    select images.sha256, images.bytes, images.group_id as "groupId", annotations.label_md5 as "labelMd5", annotations.asked
    from images
    left join lateral (
      select annotation_id from version_changes
      where version_changes.sha256 = images.sha256 and version_id <= ${versionId ?? 0}
      order by version_id desc limit 1
    ) change on true
    left join annotations on annotations.id = change.annotation_id
    where images.sha256 >= ${firstPrefix} and images.sha256 < ${afterPrefix(lastPrefix)}
    order by images.sha256`.execute(db);
  return rows;
}

import { sql } from "kysely";
import type { Db } from "../registry/database.ts";
import { findModels, modelsOf, modelsWithFile } from "../registry/models.ts";
import type { ModelRow, VersionRow } from "../registry/tables.ts";

/** What was asked after is nowhere in the registry. */
export class NothingToTrace extends Error {
  override readonly name = "NothingToTrace";
}

/** One picture of a dataset version: its source file, and who said what is in it. */
export interface TracedPicture {
  readonly sha256: string;
  readonly source: string;
  readonly originalName: string;
  readonly licence: string | null;
  readonly revision: number;
  readonly annotator: string | null;
  readonly cvatUrl: string | null;
  readonly cvatTaskId: number | null;
  readonly cvatJobId: number | null;
}

/** A dataset version and where its pictures come from. */
export interface TracedVersion {
  readonly version: VersionRow;
  readonly sources: readonly { readonly source: string; readonly licence: string | null; readonly pictures: number }[];
  readonly annotators: readonly {
    readonly annotator: string | null;
    readonly cvatTaskId: number | null;
    readonly cvatJobId: number | null;
    readonly pictures: number;
  }[];
  /** Models that were trained on it. */
  readonly models: readonly ModelRow[];
}

/** A model, and the dataset version it was trained on; undefined where the registry does not know that version. */
export interface TracedModel {
  readonly model: ModelRow;
  readonly dataset: TracedVersion | undefined;
}

/** A picture, every revision of its boxes, and the versions and models that hold it. */
export interface TracedImage {
  readonly image: {
    readonly sha256: string;
    readonly state: string;
    readonly stateWhy: string | null;
    readonly source: string;
    readonly licence: string | null;
    readonly originalName: string;
    readonly ingestedAt: Date;
  };
  readonly revisions: readonly (Omit<TracedPicture, "sha256" | "source" | "originalName" | "licence"> & { readonly madeAt: Date; readonly boxes: number })[];
  readonly versions: readonly VersionRow[];
  readonly models: readonly ModelRow[];
}

export type Traced =
  | ({ readonly kind: "image" } & TracedImage)
  | ({ readonly kind: "version" } & TracedVersion)
  | { readonly kind: "model"; readonly models: readonly TracedModel[] };

/**
 * Where something came from and where it went: a prediction's id, a model's SHA-256 or name@version, a picture's SHA-256 or
 * a dataset commit. A beginning of eight hex digits is enough.
 */
export async function trace(db: Db, what: string): Promise<Traced> {
  const models = await modelsNamed(db, what);
  if (models.length > 0)
    return { kind: "model", models: await Promise.all(models.map(async (model) => ({ model, dataset: await tryTraceVersion(db, model.dataset_commit) }))) };
  if (/^[0-9a-f]{8,64}$/.test(what)) {
    const version = await tryTraceVersion(db, what);
    if (version) return { kind: "version", ...version };
    const image = await tryTraceImage(db, what);
    if (image) return { kind: "image", ...image };
  }
  throw new NothingToTrace(
    `the registry knows no prediction, model, picture or commit "${what}": give a prediction's id, name@version, or at least eight digits of a SHA-256 or a commit`,
  );
}

/** The models that a prediction's id, a SHA-256 or name@version names. */
async function modelsNamed(db: Db, what: string): Promise<ModelRow[]> {
  const spec = /^(.+)@([^@]+)$/.exec(what);
  if (spec) return findModels(db, spec[1]!, spec[2]!);
  // A prediction's id begins with its model's SHA-256.
  const digits = /^([0-9a-f]{8,64})(\.[0-9a-f-]+)?$/.exec(what)?.[1];
  return digits ? modelsWithFile(db, digits) : [];
}

async function tryTraceVersion(db: Db, commit: string): Promise<TracedVersion | undefined> {
  const version = await db
    .selectFrom("versions")
    .selectAll()
    .where("commit", ">=", commit)
    .where("commit", "<", `${commit}g`)
    .where("state", "=", "written")
    .executeTakeFirst();
  if (!version) return undefined;
  const sources = await sql<TracedVersion["sources"][number]>`
    select images.source_id as source, sources.licence, count(*)::bigint as pictures
    from (${picturesOf(version.id)}) held join images using (sha256) join sources on sources.id = images.source_id
    group by images.source_id, sources.licence order by pictures desc`.execute(db);
  const annotators = await sql<TracedVersion["annotators"][number]>`
    select annotator, cvat_task_id as "cvatTaskId", cvat_job_id as "cvatJobId", count(*)::bigint as pictures
    from (${picturesOf(version.id)}) held join annotations on annotations.id = held.annotation_id
    group by annotator, cvat_task_id, cvat_job_id order by pictures desc`.execute(db);
  return { version, sources: sources.rows, annotators: annotators.rows, models: await modelsOf(db, [version.commit]) };
}

/** The pictures of a version, each with the annotation that it shows: the last change up to it. */
const picturesOf = (versionId: number) => sql`
  select sha256, annotation_id from (
    select distinct on (sha256) sha256, annotation_id from version_changes where version_id <= ${versionId} order by sha256, version_id desc
  ) last where annotation_id is not null`;

/** Every picture of a version, in the order of their SHA-256. */
export async function tracePictures(db: Db, versionId: number): Promise<TracedPicture[]> {
  const { rows } = await sql<TracedPicture>`
    select images.sha256, images.source_id as source, images.original_name as "originalName", sources.licence,
      revision, annotator, annotations.cvat_url as "cvatUrl", cvat_task_id as "cvatTaskId", cvat_job_id as "cvatJobId"
    from (${picturesOf(versionId)}) held join images using (sha256) join sources on sources.id = images.source_id
    join annotations on annotations.id = held.annotation_id order by images.sha256`.execute(db);
  return rows;
}

async function tryTraceImage(db: Db, digits: string): Promise<TracedImage | undefined> {
  const { rows: found } = await sql<TracedImage["image"]>`
    select sha256, state, state_why as "stateWhy", source_id as source, licence, original_name as "originalName", ingested_at as "ingestedAt"
    from images join sources on sources.id = source_id where sha256 >= ${digits} and sha256 < ${`${digits}g`} order by sha256 limit 1`.execute(db);
  const [image] = found;
  if (!image) return undefined;
  const { rows: revisions } = await sql<TracedImage["revisions"][number]>`
    select revision, annotator, cvat_url as "cvatUrl", cvat_task_id as "cvatTaskId", cvat_job_id as "cvatJobId", made_at as "madeAt",
      (select count(*) from boxes where annotation_id = annotations.id) as boxes
    from annotations where sha256 = ${image.sha256} order by revision`.execute(db);
  const versions = await versionsHolding(db, [image.sha256]);
  return {
    image,
    revisions,
    versions,
    models: await modelsOf(
      db,
      versions.map(({ commit }) => commit),
    ),
  };
}

/** Every version that shows one of the pictures, oldest first: from a change that gave it a label to the next that took it away. */
export async function versionsHolding(db: Db, sha256s: readonly string[]): Promise<VersionRow[]> {
  const { rows } = await sql<{ id: number }>`
    select distinct versions.id from (
      select sha256, version_id as first, annotation_id, lead(version_id) over (partition by sha256 order by version_id) as next
      from version_changes where sha256 = any(${[...sha256s]}::text[])
    ) spans join versions on versions.id >= first and (next is null or versions.id < next)
    where annotation_id is not null and versions.state = 'written'`.execute(db);
  if (rows.length === 0) return [];
  const ids = rows.map(({ id }) => id);
  return db
    .selectFrom("versions")
    .selectAll()
    .where("id", "=", sql<number>`any(${ids}::bigint[])`)
    .orderBy("id")
    .execute();
}

import { type Kysely, sql } from "kysely";

/**
 * The registry's first form. Constraints forbid the wrong states: a claimed picture has a batch and no other has, a labelled
 * one has an annotation, an excluded one has a reason. Numbers of classes and events never change. Hashes compare as bytes
 * (collation "C"), so that a range of them is a range of the primary key.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of statements) await sql.raw(statement).execute(db);
}

const statements = [
  // The storage folder whose pictures these are; its own copy of the id stands in the folder.
  `create table storage (
    single boolean primary key default true check (single),
    id uuid not null
  )`,
  `create table sources (
    id text collate "C" primary key check (id ~ '^[A-Za-z0-9_-][A-Za-z0-9_.-]{0,99}$'),
    licence text,
    contact text,
    recording_names boolean not null default false,
    recording_gap_seconds integer check (recording_gap_seconds > 0),
    created_at timestamptz not null default now()
  )`,
  `create table classes (
    id integer primary key check (id >= 0),
    name text collate "C" not null unique check (name <> '' and name !~ '[\\n\\r]')
  )`,
  `create table batches (
    id text collate "C" primary key check (id ~ '^[0-9a-f]{10}$'),
    dag_id text not null,
    run_id text not null,
    task_id text not null,
    map_index integer not null,
    run_after text not null,
    generation integer not null default 0,
    source_id text collate "C" not null references sources,
    state text not null check (state in ('open', 'pulled', 'released')),
    project text,
    asked integer[],
    cvat_url text,
    cvat_task_id bigint,
    created_at timestamptz not null default now(),
    ended_at timestamptz,
    ended_why text,
    unique (dag_id, run_id, task_id, map_index, generation),
    check ((state = 'open') = (ended_at is null)),
    check (state <> 'released' or ended_why is not null),
    check (cvat_task_id is null or (project is not null and asked is not null and cvat_url is not null))
  )`,
  `create index batches_open on batches (source_id, created_at) where state = 'open'`,
  `create table images (
    sha256 text collate "C" primary key check (sha256 ~ '^[0-9a-f]{64}$'),
    md5 text collate "C" not null check (md5 ~ '^[0-9a-f]{32}$'),
    extension text not null check (extension in ('jpg', 'png', 'webp')),
    bytes bigint not null check (bytes > 0),
    width integer not null check (width > 0),
    height integer not null check (height > 0),
    orientation smallint not null check (orientation between 1 and 8),
    captured_at text,
    -- What tells whether another picture is the same or nearly so; null where nobody has looked.
    pixels text collate "C" check (pixels ~ '^[0-9a-f]{64}$'),
    look bytea,
    recording text collate "C",
    grouped boolean not null default false,
    source_id text collate "C" not null references sources,
    original_name text not null,
    group_id text collate "C" not null references images,
    state text not null check (state in ('new', 'claimed', 'labelled', 'excluded')),
    state_why text,
    batch_id text collate "C" references batches,
    -- The batch whose pull excluded it; null where a person did. The same pull, made again, may bring it back.
    excluded_by_batch text collate "C" references batches,
    annotation_id bigint,
    -- What the next dataset version shows of it.
    visible_annotation_id bigint generated always as (case when state = 'excluded' then null else annotation_id end) stored,
    -- What the newest dataset version shows of it.
    committed_annotation_id bigint,
    -- Whether the next version changes it. A column, so that PostgreSQL knows how few they are and does not read the whole table.
    uncommitted boolean not null generated always as (
      committed_annotation_id is distinct from (case when state = 'excluded' then null else annotation_id end)
    ) stored,
    ingested_at timestamptz not null default now(),
    check ((state = 'claimed') = (batch_id is not null)),
    check (state <> 'labelled' or annotation_id is not null),
    check ((state = 'excluded') = (state_why is not null)),
    check (excluded_by_batch is null or state = 'excluded')
  )`,
  `create index images_waiting on images (source_id, ingested_at, sha256) where state = 'new'`,
  `create index images_claimed on images (batch_id) where batch_id is not null`,
  `create index images_uncommitted on images (sha256) where uncommitted`,
  `create index images_in_versions on images (sha256) where committed_annotation_id is not null`,
  `create index images_by_group on images (group_id)`,
  `create index images_ungrouped on images (ingested_at, sha256) where not grouped and look is not null`,
  `create index images_by_pixels on images (pixels) where pixels is not null`,
  `create index images_by_recording on images (recording) where recording is not null`,
  `create index images_by_capture on images (source_id, captured_at) where captured_at is not null`,
  `create table image_bands (
    band smallint not null,
    value integer not null,
    sha256 text collate "C" not null references images,
    primary key (band, value, sha256)
  )`,
  `create index images_by_source on images (source_id, original_name)`,
  `create index images_by_md5 on images (md5)`,
  `create table batch_images (
    batch_id text collate "C" not null references batches,
    sha256 text collate "C" not null references images,
    primary key (batch_id, sha256)
  )`,
  `create index batch_images_by_image on batch_images (sha256)`,
  `create table annotations (
    id bigint generated always as identity primary key,
    sha256 text collate "C" not null references images,
    revision integer not null check (revision > 0),
    batch_id text collate "C" references batches,
    asked integer[] not null,
    annotator text,
    cvat_url text,
    cvat_task_id bigint,
    cvat_job_id bigint,
    origin text not null check (origin in ('cvat', 'adopted', 'imported')),
    label_md5 text collate "C" not null check (label_md5 ~ '^[0-9a-f]{32}$'),
    label_bytes integer not null check (label_bytes >= 0),
    made_at timestamptz not null default now(),
    unique (sha256, revision),
    unique (id, sha256)
  )`,
  `create index annotations_by_batch on annotations (batch_id)`,
  `alter table images
    add foreign key (annotation_id, sha256) references annotations (id, sha256),
    add foreign key (committed_annotation_id, sha256) references annotations (id, sha256)`,
  `create table boxes (
    annotation_id bigint not null references annotations,
    position integer not null check (position >= 0),
    class_id integer not null references classes,
    cx double precision not null check (cx between 0 and 1),
    cy double precision not null check (cy between 0 and 1),
    w double precision not null check (w > 0 and w <= 1),
    h double precision not null check (h > 0 and h <= 1),
    how text not null check (how in ('drawn', 'proposed', 'mended')),
    primary key (annotation_id, position)
  )`,
  `create index boxes_by_class on boxes (class_id)`,
  `create table predictions (
    sha256 text collate "C" primary key references images,
    body jsonb not null
  )`,
  `create table versions (
    id bigint generated always as identity primary key,
    commit text collate "C" not null unique check (commit ~ '^[0-9a-f]{40}$'),
    parent text collate "C" check (parent ~ '^[0-9a-f]{40}$'),
    state text not null check (state in ('writing', 'written')),
    message text not null,
    dag_id text,
    run_id text,
    images integer not null,
    created_at timestamptz not null default now(),
    pushed_at timestamptz,
    -- The remote that has all its objects, without credentials.
    pushed_to text,
    check ((pushed_at is null) = (pushed_to is null))
  )`,
  // At most one version is being written: the one that holds the lock, or one that was interrupted.
  `create unique index versions_writing on versions (state) where state = 'writing'`,
  `create index versions_by_remote on versions (pushed_to, id)`,
  `create index versions_by_run on versions (dag_id, run_id)`,
  `create table version_changes (
    version_id bigint not null references versions on delete cascade,
    sha256 text collate "C" not null references images,
    -- Null: the picture left with this version.
    annotation_id bigint references annotations,
    primary key (version_id, sha256)
  )`,
  `create index version_changes_by_image on version_changes (sha256, version_id)`,
  `create table models (
    name text not null,
    version text not null,
    mlflow_run text not null,
    dag_id text not null,
    run_id text not null,
    dataset_commit text collate "C" not null,
    registered_at timestamptz not null default now(),
    published_at timestamptz,
    primary key (name, version)
  )`,
  `create index models_by_commit on models (dataset_commit)`,
  `create table model_files (
    name text not null,
    version text not null,
    file text not null,
    sha256 text collate "C" not null check (sha256 ~ '^[0-9a-f]{64}$'),
    primary key (name, version, file),
    foreign key (name, version) references models
  )`,
  `create index model_files_by_sha256 on model_files (sha256)`,
  `create table events (
    id bigint generated always as identity primary key,
    at timestamptz not null default now(),
    actor text not null,
    dag_id text,
    run_id text,
    task_id text,
    map_index integer,
    kind text not null,
    subject text,
    detail jsonb not null default '{}'
  )`,
  `create index events_by_subject on events (subject, id)`,
  `create function refuse_change() returns trigger language plpgsql as $$
    begin
      raise exception '% of % is not allowed: its rows are never changed or removed', lower(tg_op), tg_table_name using errcode = 'restrict_violation';
    end $$`,
  ...["classes", "events", "annotations", "boxes"].flatMap((table) => [
    `create trigger ${table}_stay before update or delete on ${table} for each row execute function refuse_change()`,
    `create trigger ${table}_stay_all before truncate on ${table} for each statement execute function refuse_change()`,
  ]),
];

import type { ColumnType, Generated, GeneratedAlways, JSONColumnType, Selectable } from "kysely";

/** What may become of a picture; each state but "labelled" has a command that leads out of it. */
export type ImageState = "new" | "claimed" | "labelled" | "excluded";

/** Everything known about an image. */
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
  /** The camera's own clock, ISO 8601 without a zone where the camera gave none. */
  captured_at: string | null;
  /** SHA-256 of the pixels as a person sees them; null where nobody has looked. */
  pixels: string | null;
  /** A small rendition of the picture, as groups/perceptual-hash.ts makes it. */
  look: Buffer | null;
  /** What its name shares with those of its recording, where its source says that names tell. */
  recording: string | null;
  /** Whether its group was looked for. */
  grouped: Generated<boolean>;
  source_id: string;
  /** Path beneath `incoming/`. */
  original_name: string;
  /** The first image of its group: pictures of one group stand on the same side of every split. */
  group_id: string;
  state: ImageState;
  /** Why it is excluded. */
  state_why: string | null;
  /** The batch that has claimed it; null unless claimed. */
  batch_id: string | null;
  /** The batch whose pull excluded it; null where a person did, and unless excluded. */
  excluded_by_batch: string | null;
  /** Its newest annotation; one that is labelled again keeps the old one until the new one is there. */
  annotation_id: number | null;
  visible_annotation_id: GeneratedAlways<number | null>;
  committed_annotation_id: number | null;
  /** Whether the next version changes it. */
  uncommitted: GeneratedAlways<boolean>;
  ingested_at: Generated<Date>;
}

interface SourceTable {
  id: string;
  licence: string | null;
  contact: string | null;
  /** Whether pictures whose names differ in a counter alone are one recording. */
  recording_names: Generated<boolean>;
  /** Pictures taken within so many seconds of each other are one recording. */
  recording_gap_seconds: number | null;
  created_at: Generated<Date>;
}

interface ClassTable {
  /** The number in label files; never changes. */
  id: number;
  name: string;
}

/** open: claimed by a run; pulled: its annotations are stored; released: its pictures were given back. */
type BatchState = "open" | "pulled" | "released";

/** Images that are labelled together, chosen by one task of one pipeline run. */
interface BatchTable {
  id: string;
  dag_id: string;
  run_id: string;
  task_id: string;
  map_index: number;
  /** When the run was to begin, as Airflow says: it tells a run from one of the same name that was deleted before. */
  run_after: string;
  /** Counts the batches of one task of runs of one name. */
  generation: Generated<number>;
  source_id: string;
  state: BatchState;
  project: string | null;
  /** The classes that people were asked to mark: a picture is a negative for these alone. */
  asked: number[] | null;
  cvat_url: string | null;
  cvat_task_id: number | null;
  created_at: Generated<Date>;
  ended_at: Date | null;
  ended_why: string | null;
}

/** Under what a picture is found by those that look nearly the same. */
interface ImageBandTable {
  band: number;
  value: number;
  sha256: string;
}

interface BatchImageTable {
  batch_id: string;
  sha256: string;
}

interface AnnotationTable {
  id: GeneratedAlways<number>;
  sha256: string;
  /** From 1. */
  revision: number;
  batch_id: string | null;
  asked: number[];
  annotator: string | null;
  cvat_url: string | null;
  cvat_task_id: number | null;
  cvat_job_id: number | null;
  /** cvat: pulled; adopted: found in a storage folder; imported: from a data set. */
  origin: "cvat" | "adopted" | "imported";
  /** MD5 and size of the label file that the boxes make. */
  label_md5: string;
  label_bytes: number;
  made_at: Generated<Date>;
}

/** How a box came about. */
export type BoxOrigin = "drawn" | "proposed" | "mended";

interface BoxTable {
  annotation_id: number;
  position: number;
  class_id: number;
  /** Centre and size as shares of the picture as a person sees it. */
  cx: number;
  cy: number;
  w: number;
  h: number;
  how: BoxOrigin;
}

interface PredictionTable {
  sha256: string;
  body: JSONColumnType<object>;
}

interface VersionTable {
  id: GeneratedAlways<number>;
  commit: string;
  parent: string | null;
  state: "writing" | "written";
  message: string;
  dag_id: string | null;
  run_id: string | null;
  /** Labelled pictures that it holds. */
  images: number;
  created_at: Generated<Date>;
  pushed_at: Date | null;
  /** The remote that has all its objects, without credentials. */
  pushed_to: string | null;
}

interface VersionChangeTable {
  version_id: number;
  sha256: string;
  annotation_id: number | null;
}

/** A registered model: what it was trained on, and by which run. */
interface ModelTable {
  name: string;
  version: string;
  mlflow_run: string;
  dag_id: string;
  run_id: string;
  dataset_commit: string;
  registered_at: Generated<Date>;
  /** When it was first given to the inference service. */
  published_at: Date | null;
}

interface ModelFileTable {
  name: string;
  version: string;
  file: string;
  sha256: string;
}

interface EventTable {
  id: GeneratedAlways<number>;
  at: Generated<Date>;
  actor: string;
  dag_id: string | null;
  run_id: string | null;
  task_id: string | null;
  map_index: number | null;
  kind: string;
  subject: string | null;
  detail: ColumnType<object, string | undefined, never>;
}

export interface Tables {
  storage: { single: Generated<boolean>; id: string };
  sources: SourceTable;
  classes: ClassTable;
  batches: BatchTable;
  images: ImageTable;
  image_bands: ImageBandTable;
  batch_images: BatchImageTable;
  annotations: AnnotationTable;
  boxes: BoxTable;
  predictions: PredictionTable;
  versions: VersionTable;
  version_changes: VersionChangeTable;
  models: ModelTable;
  model_files: ModelFileTable;
  events: EventTable;
}

export type ImageRow = Selectable<ImageTable>;
export type BatchRow = Selectable<BatchTable>;
export type ClassRow = Selectable<ClassTable>;
export type VersionRow = Selectable<VersionTable>;
export type ModelRow = Selectable<ModelTable>;

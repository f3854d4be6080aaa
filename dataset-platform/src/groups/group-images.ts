import { sql, type Transaction } from "kysely";
import type { Db } from "../registry/database.ts";
import { holdLock } from "../registry/locks.ts";
import type { Registry } from "../registry/registry.ts";
import type { ImageRow, Tables } from "../registry/tables.ts";
import { bandsOf, searchFor } from "./near.ts";
import type { PictureHashes } from "./perceptual-hash.ts";
import { joinedByTime, recordingKey, type RecordingSettings } from "./recording.ts";

/** Pictures that are grouped in one transaction. */
const atOnce = 50;
/** Pictures that share an entry of the index and are looked at, oldest first: many look alike where a camera stands still. */
const mostCandidates = 500;

type Row = Pick<ImageRow, "sha256" | "pixels" | "look" | "width" | "height" | "orientation" | "source_id" | "original_name" | "captured_at">;
const columns = ["sha256", "pixels", "look", "width", "height", "orientation", "source_id", "original_name", "captured_at"] as const;

export interface GroupOptions {
  readonly signal?: AbortSignal | undefined;
  /** Told after each few how many were grouped. */
  readonly progress?: (done: number) => void;
}

/**
 * Finds the group of every picture that has none yet: that of one with the same pixels, of one that looks nearly the same, or
 * of one of the same recording where its source says so; else its own. A picture that joins a group takes its side of every
 * split; no group is ever moved. Two at once wait for each other, so that two alike that come together find each other.
 */
export async function groupImages(registry: Registry, { signal, progress }: GroupOptions = {}): Promise<{ grouped: number; joined: number }> {
  let [grouped, joined] = [0, 0];
  for (;;) {
    signal?.throwIfAborted();
    const done = await registry.transaction(groupSome);
    if (done.grouped === 0) return { grouped, joined };
    grouped += done.grouped;
    joined += done.joined;
    progress?.(grouped);
  }
}

async function groupSome(trx: Transaction<Tables>): Promise<{ grouped: number; joined: number }> {
  await holdLock(trx, "groups");
  const rows = await trx
    .selectFrom("images")
    .select(columns)
    .where("grouped", "=", false)
    .where("look", "is not", null)
    .orderBy("ingested_at")
    .orderBy("sha256")
    .limit(atOnce)
    .execute();
  let joined = 0;
  for (const row of rows) if (await groupOne(trx, row)) joined++;
  return { grouped: rows.length, joined };
}

/** Gives a picture its group; whether it is an older one. */
async function groupOne(trx: Transaction<Tables>, row: Row): Promise<boolean> {
  const settings = await settingsOf(trx, row.source_id);
  const recording = recordingKey({ id: row.source_id, settings }, row.original_name) ?? null;
  const hashes = hashesOf(row);
  const group = (await samePixels(trx, row)) ?? (await looksAlike(trx, row, hashes)) ?? (await sameRecording(trx, row, recording, settings));
  const bands = bandsOf(hashes);
  if (bands.length > 0)
    await trx
      .insertInto("image_bands")
      .values(bands.map(({ band, value }) => ({ band, value, sha256: row.sha256 })))
      .execute();
  await trx
    .updateTable("images")
    .set({ grouped: true, recording, ...(group === undefined ? {} : { group_id: group }) })
    .where("sha256", "=", row.sha256)
    .execute();
  return group !== undefined;
}

async function settingsOf(db: Db, source: string): Promise<RecordingSettings> {
  const row = await db.selectFrom("sources").select(["recording_names", "recording_gap_seconds"]).where("id", "=", source).executeTakeFirstOrThrow();
  return { names: row.recording_names, ...(row.recording_gap_seconds === null ? {} : { gapSeconds: row.recording_gap_seconds }) };
}

/** Width and height as a person sees the picture: EXIF orientations from 5 on turn it by a quarter. */
function hashesOf({ pixels, look, width, height, orientation }: Row): PictureHashes {
  const [w, h] = orientation >= 5 ? [height, width] : [width, height];
  return { pixels: pixels!, look: look!, width: w, height: h };
}

async function samePixels(db: Db, { sha256, pixels }: Row): Promise<string | undefined> {
  const same = await db
    .selectFrom("images")
    .select("group_id")
    .where("pixels", "=", pixels)
    .where("grouped", "=", true)
    .where("sha256", "!=", sha256)
    .orderBy("ingested_at")
    .limit(1)
    .executeTakeFirst();
  return same?.group_id;
}

async function looksAlike(db: Db, { sha256 }: Row, hashes: PictureHashes): Promise<string | undefined> {
  const { probes, isNear } = searchFor(hashes);
  if (probes.length === 0) return undefined;
  const { rows } = await sql<Row & { group_id: string }>`
    select ${sql.join(columns.map((name) => sql.ref(`images.${name}`)))}, images.group_id
    from (
      select distinct image_bands.sha256
      from unnest(${probes.map(({ band }) => band)}::smallint[], ${probes.map(({ value }) => value)}::integer[]) as probe (band, value)
      join image_bands on image_bands.band = probe.band and image_bands.value = probe.value
    ) found join images using (sha256)
    where images.sha256 <> ${sha256} order by images.ingested_at limit ${mostCandidates}`.execute(db);
  return rows.find((row) => isNear(hashesOf(row)))?.group_id;
}

async function sameRecording(db: Db, row: Row, recording: string | null, { gapSeconds }: RecordingSettings): Promise<string | undefined> {
  if (recording !== null) {
    const same = await db.selectFrom("images").select("group_id").where("recording", "=", recording).orderBy("ingested_at").limit(1).executeTakeFirst();
    if (same) return same.group_id;
  }
  if (gapSeconds === undefined || row.captured_at === null) return undefined;
  const neighbour = (side: "<=" | ">=", direction: "asc" | "desc") =>
    db
      .selectFrom("images")
      .select(["group_id", "captured_at"])
      .where("source_id", "=", row.source_id)
      .where("captured_at", side, row.captured_at)
      .where("grouped", "=", true)
      .where("sha256", "!=", row.sha256)
      .orderBy("captured_at", direction)
      .limit(1)
      .executeTakeFirst();
  const [earlier, later] = [await neighbour("<=", "desc"), await neighbour(">=", "asc")];
  const times = { ...(earlier ? { earlier: earlier.captured_at! } : {}), ...(later ? { later: later.captured_at! } : {}) };
  const [side] = joinedByTime(row.captured_at, times, gapSeconds);
  return side === undefined ? undefined : (side === "earlier" ? earlier : later)!.group_id;
}

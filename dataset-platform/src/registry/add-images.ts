import { sql, type Transaction } from "kysely";
import type { Db } from "./database.ts";
import { type Actor, recordEvents } from "./events.ts";
import type { NewImage } from "./images.ts";
import type { ImageRow, Tables } from "./tables.ts";

/** Pictures that arrived together: when, and each one's place in the order of arrival, in which batches are chosen. */
export interface Arrival {
  readonly at: Date;
  readonly images: readonly { readonly order: number; readonly image: NewImage }[];
}

/** Adds pictures that wait to be labelled; the SHA-256s of those that were not known. As `addImage`, for up to some thousand at once. */
export async function addImages(trx: Transaction<Tables>, { at, images: ordered }: Arrival, actor: Actor): Promise<Set<string>> {
  const images = ordered.map(({ image }) => image);
  if (images.length === 0) return new Set();
  const sources = [...new Set(images.map(({ source_id }) => source_id))].toSorted();
  await trx
    .insertInto("sources")
    .values(sources.map((id) => ({ id })))
    .onConflict((conflict) => conflict.doNothing())
    .execute();
  const rows = ordered.map(({ order, image }) => ({
    ...image,
    group_id: image.group_id ?? image.sha256,
    state: "new" as const,
    // One moment for all, a microsecond apart.
    ingested_at: sql<Date>`${at}::timestamptz + ${order} * interval '1 microsecond'`,
  }));
  const inserted = await trx
    .insertInto("images")
    // Two at once that add the same pictures wait for each other in one order, never in a ring.
    .values(rows.toSorted((a, b) => (a.sha256 < b.sha256 ? -1 : 1)))
    .onConflict((conflict) => conflict.column("sha256").doNothing())
    .returning("sha256")
    .execute();
  const added = new Set(inserted.map(({ sha256 }) => sha256));
  await recordEvents(
    trx,
    actor,
    images
      .filter(({ sha256 }) => added.has(sha256))
      .map((image) => ({ kind: "image.added", subject: image.sha256, detail: { source: image.source_id, name: image.original_name } })),
  );
  return added;
}

/** Where the bytes of known pictures belong, by SHA-256. */
export async function findStored(db: Db, sha256s: readonly string[]): Promise<Map<string, Pick<ImageRow, "sha256" | "extension" | "bytes">>> {
  if (sha256s.length === 0) return new Map();
  const rows = await db.selectFrom("images").select(["sha256", "extension", "bytes"]).where("sha256", "in", sha256s).execute();
  return new Map(rows.map((row) => [row.sha256, row]));
}

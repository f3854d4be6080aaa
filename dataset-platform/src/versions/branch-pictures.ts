import { sql } from "kysely";
import type { Db } from "../registry/database.ts";
import { tryReadDirObject } from "./dvc-objects.ts";
import { firstTen, MissingObjects, UnknownPictures } from "./errors.ts";
import { tryParsePointers } from "./pointers.ts";
import type { Remote } from "./remote.ts";
import { fetchObjects, type TransferPlace } from "./transfer.ts";

/**
 * Refuses where the branch holds a labelled picture that the registry has no annotation of: what is written from its rows
 * would lose it.
 */
export async function refuseUnknownPictures(place: TransferPlace & { readonly remote: Remote }, db: Db, base: string): Promise<void> {
  const unknown: string[] = [];
  for (const { oid } of tryParsePointers(base) ?? []) {
    const shas = await labelledShas(place, oid);
    for (let at = 0; at < shas.length; at += 10_000) {
      const { rows } = await sql<{ sha256: string }>`
        select sha256 from unnest(${shas.slice(at, at + 10_000)}::text[]) as held (sha256)
        where not exists (select from images where images.sha256 = held.sha256 collate "C" and annotation_id is not null)`.execute(db);
      unknown.push(...rows.map(({ sha256 }) => sha256));
    }
  }
  if (unknown.length === 0) return;
  throw new UnknownPictures(
    `no dataset version is made, since the branch that is checked out in ${place.root} holds ${unknown.length} labelled pictures of which the registry knows no annotation, and the version would lose them: ${firstTen(unknown)}. Is DATABASE_URL the registry of this storage? One that is new takes in what the folder holds; one that was brought back from an older dump must be brought back from the newest.`,
  );
}

/** The labelled pictures of a `.dir` object, which is fetched where the cache lacks it. */
async function labelledShas(place: TransferPlace & { readonly remote: Remote }, oid: string): Promise<string[]> {
  let entries = await tryReadDirObject(place.cache, oid);
  if (!entries) {
    await fetchObjects(place, place.remote, [{ oid }]);
    entries = await tryReadDirObject(place.cache, oid);
  }
  if (!entries)
    throw new MissingObjects(
      `the list of files ${oid} of the branch that is checked out in ${place.root} is neither in the cache nor on the remote ${place.remote.name}`,
    );
  return entries.flatMap(({ relpath }) => /(?:^|\/)([0-9a-f]{64})\.txt$/.exec(relpath)?.[1] ?? []);
}

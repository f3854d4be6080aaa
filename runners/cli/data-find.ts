import type { Db } from "@airloom/dataset-platform/registry/database.ts";
import type { ImageRow } from "@airloom/dataset-platform/registry/tables.ts";

/** The fewest hex digits that name a picture. */
const shortest = 8;

/** The pictures that SHA-256s, or beginnings of them, name; throws for one that names none or several. */
export async function findPictures(db: Db, given: readonly string[]): Promise<ImageRow[]> {
  const found: ImageRow[] = [];
  for (const text of given) {
    const prefix = text.toLowerCase();
    if (!/^[0-9a-f]{1,64}$/.test(prefix) || prefix.length < shortest)
      throw new Error(`"${text}" is not a picture's SHA-256: give all of its 64 hex digits, or at least the first ${shortest}`);
    const rows = await db
      .selectFrom("images")
      .selectAll()
      .where("sha256", ">=", prefix)
      // "g" comes after every hex digit.
      .where("sha256", "<", `${prefix}g`)
      .limit(2)
      .execute();
    if (rows.length === 0) throw new Error(`the registry knows no picture ${text}: \`npx airloom data list images\` shows those that it knows`);
    if (rows.length > 1) throw new Error(`"${text}" begins more than one picture's SHA-256: give more of its digits`);
    found.push(rows[0]!);
  }
  return found;
}

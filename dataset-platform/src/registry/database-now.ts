import { sql } from "kysely";
import { again, type Db } from "./database.ts";

/** The time by the registry's clock, which all machines share. */
export async function databaseNow(db: Db): Promise<Date> {
  const { rows } = await again(() => sql<{ now: Date }>`select now()`.execute(db));
  return rows[0]!.now;
}

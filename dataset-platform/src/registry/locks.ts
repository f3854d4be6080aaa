import { sql } from "kysely";
import type { Db } from "./database.ts";

/** Advisory locks of the registry's database: what only one may do at a time, on all machines. */
export const locks = { migrate: 1, classes: 2, commit: 3, groups: 4 } as const;

/** "airloom" as a number: other programs of the same database have other locks. */
const namespace = 0x41_69_72_6c;

/** Holds a lock until the transaction ends. */
export async function holdLock(trx: Db, lock: keyof typeof locks): Promise<void> {
  await sql`select pg_advisory_xact_lock(${namespace}, ${locks[lock]})`.execute(trx);
}

/** Holds a lock on a name, a CVAT project say, until the transaction ends. */
export async function holdNamedLock(trx: Db, name: string): Promise<void> {
  await sql`select pg_advisory_xact_lock(hashtextextended(${name}, ${namespace}))`.execute(trx);
}

/**
 * Does `work` while nobody else holds the lock. It stands on a connection of its own, and is lost with it: `work` gets
 * `stillHeld`, to ask before a step that two must not take.
 */
export async function withLock<T>(db: Db, lock: keyof typeof locks, work: (stillHeld: () => Promise<void>) => Promise<T>): Promise<T> {
  return db.connection().execute(async (connection) => {
    await sql`set statement_timeout = 0`.execute(connection);
    await sql`select pg_advisory_lock(${namespace}, ${locks[lock]})`.execute(connection);
    try {
      return await work(async () => void (await sql`select 1`.execute(connection)));
    } finally {
      await sql`select pg_advisory_unlock(${namespace}, ${locks[lock]})`.execute(connection).catch(() => undefined);
      await sql`reset statement_timeout`.execute(connection).catch(() => undefined);
    }
  });
}

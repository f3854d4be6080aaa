import { sql, type Transaction } from "kysely";
import type { Db } from "./database.ts";
import type { Tables } from "./tables.ts";

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

/** A lock that is held: it stands on a connection of its own, and is lost with it. */
export interface HeldLock {
  /** Throws where the lock is lost. Whoever has it now may do what `work` does: to ask before a step that two must not take. */
  check(): Promise<void>;
  /** Does something in one transaction that cannot come true once the lock is lost, since it is on the lock's own connection. */
  transaction<T>(work: (trx: Transaction<Tables>) => Promise<T>): Promise<T>;
}

/** Does `work` while nobody else holds the lock. */
export async function withLock<T>(db: Db, lock: keyof typeof locks, work: (held: HeldLock) => Promise<T>): Promise<T> {
  return db.connection().execute(async (connection) => {
    await sql`set statement_timeout = 0`.execute(connection);
    await sql`select pg_advisory_lock(${namespace}, ${locks[lock]})`.execute(connection);
    try {
      return await work({
        check: async () => void (await sql`select 1`.execute(connection)),
        transaction: (inside) => connection.transaction().execute(inside),
      });
    } finally {
      await sql`select pg_advisory_unlock(${namespace}, ${locks[lock]})`.execute(connection).catch(() => undefined);
      await sql`reset statement_timeout`.execute(connection).catch(() => undefined);
    }
  });
}

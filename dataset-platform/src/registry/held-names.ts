import { sql } from "kysely";
import type { Db } from "./database.ts";

/** Names that this process alone holds, among all processes of all machines that use the registry, until it ends. */
export interface HeldNames {
  /** Whether the name is ours now; false where a process that lives has it. */
  tryHold(name: string): Promise<boolean>;
}

/**
 * Does `work` with names to hold. They stand on one connection of their own and end with it: with `work`, with this process
 * however it ends, or a minute after its machine is gone. A restart of the server ends them too, so they may only spare work
 * that two may do: they tell who is alive, and guard nothing.
 */
export async function withHeldNames<T>(db: Db, work: (names: HeldNames) => Promise<T>): Promise<T> {
  return db.connection().execute(async (connection) => {
    // A machine that lost its power says no goodbye: the server asks after 30 s, and gives up 30 s later.
    for (const setting of ["idle = 30", "interval = 10", "count = 3"]) await sql.raw(`set tcp_keepalives_${setting}`).execute(connection);
    try {
      return await work({
        async tryHold(name) {
          const { rows } = await sql<{ held: boolean }>`select pg_try_advisory_lock(hashtextextended(${name}, 0)) as held`.execute(connection);
          return rows[0]!.held;
        },
      });
    } finally {
      await sql`select pg_advisory_unlock_all()`.execute(connection).catch(() => undefined);
    }
  });
}

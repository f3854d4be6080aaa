import { setTimeout as sleep } from "node:timers/promises";
import { Kysely, PostgresDialect, type PostgresPool, type PostgresPoolClient, type Transaction } from "kysely";
import pg from "pg";
import type { Tables } from "./tables.ts";

/** The registry's database, or a transaction in it. */
export type Db = Kysely<Tables>;

/** The connection to PostgreSQL was lost or could not be had. What was asked may or may not have been done. */
export class ConnectionLost extends Error {
  override readonly name = "ConnectionLost";
}

const connectTimeoutMs = 15_000;
/** How long one statement may take, and one may wait for another's lock. */
const statementTimeoutMs = 10 * 60_000;
const mostConnections = 8;

const bigint: number = pg.types.builtins.INT8;

/** bigint as a number: ids and bytes stay far below 2^53. */
const types: pg.CustomTypesConfig = {
  getTypeParser: ((oid: number, format?: "text" | "binary") =>
    oid === bigint ? Number : pg.types.getTypeParser(oid, format)) as typeof pg.types.getTypeParser,
};

/** Opens a pool of connections to the database that a postgresql:// URL names; nothing is asked yet. */
export function openDatabase(url: string): Db {
  const pool = new pg.Pool({
    connectionString: url,
    max: mostConnections,
    connectionTimeoutMillis: connectTimeoutMs,
    statement_timeout: statementTimeoutMs,
    keepAlive: true,
    application_name: "airloom",
    types,
  });
  // An idle connection that the server ends, in a restart say: the next one that is asked for is new.
  pool.on("error", () => undefined);
  return new Kysely<Tables>({ dialect: new PostgresDialect({ pool: telling(pool) }) });
}

/** The same pool, whose failures are ConnectionLost unless PostgreSQL itself has answered with an error. */
function telling(pool: pg.Pool): PostgresPool {
  return {
    end: () => pool.end(),
    async connect() {
      const client = await pool.connect().catch((cause: unknown) => {
        throw asLost(cause);
      });
      let broken = false;
      const query = async (...args: [string, unknown[]]) => {
        try {
          return await client.query(...args);
        } catch (cause) {
          const error = asLost(cause);
          broken ||= error instanceof ConnectionLost;
          throw error;
        }
      };
      // Without a listener the loss of a connection in use would end the process; the query tells of it.
      const ignore = () => undefined;
      client.on("error", ignore);
      const release = () => {
        client.off("error", ignore);
        client.release(broken);
      };
      return { query, release } as unknown as PostgresPoolClient;
    },
  };
}

/** PostgreSQL's codes for a server that goes, comes, or takes no more connections: https://www.postgresql.org/docs/current/errcodes-appendix.html */
const passingCodes = new Set(["57P01", "57P02", "57P03", "53300"]);

function asLost(cause: unknown): unknown {
  if (cause instanceof pg.DatabaseError && !passingCodes.has(cause.code ?? "") && !cause.code?.startsWith("08")) return cause;
  if (!(cause instanceof Error)) return cause;
  return new ConnectionLost(`the registry's PostgreSQL cannot be reached: ${cause.message}. Is it running, and is its address right?`, { cause });
}

/** Whether PostgreSQL refused because two did the same at once: asked again, it works. */
const isConflict = (error: unknown) => error instanceof pg.DatabaseError && ["40001", "40P01"].includes(error.code ?? "");

/** Whether a row was refused because there is one with the same key. */
export const isDuplicate = (error: unknown): boolean => error instanceof pg.DatabaseError && error.code === "23505";

/** How long work is tried again where the connection is lost: a restart of the server passes. */
const patienceMs = 60_000;

/**
 * Does `work` in one transaction, all or nothing. It is done again where it met another's, or where the connection is lost:
 * after a loss at the very end it may have been done already, so doing it twice must be the same as once.
 */
export async function inTransaction<T>(db: Db, work: (trx: Transaction<Tables>) => Promise<T>): Promise<T> {
  return again(() => db.transaction().execute(work));
}

/** Repeats what may be done twice while the connection is lost or another writer is in the way, with growing pauses. */
export async function again<T>(work: () => Promise<T>): Promise<T> {
  const deadline = Date.now() + patienceMs;
  for (let pauseMs = 20; ; pauseMs = Math.min(2000, pauseMs * 2)) {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof ConnectionLost || isConflict(error)) || Date.now() > deadline) throw error;
      await sleep(pauseMs * (0.5 + Math.random()));
    }
  }
}

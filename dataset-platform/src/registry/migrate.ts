import { rename, rm } from "node:fs/promises";
import path from "node:path";
import { execa, ExecaError } from "execa";
import { Migrator, sql } from "kysely";
import { type Db, inTransaction } from "./database.ts";
import { holdLock } from "./locks.ts";
import { migrationProvider, newestMigration } from "./migrations/all.ts";
import { makeFolders } from "../store/make-folder.ts";

/** The database was made by a newer Airloom than this. */
export class NewerRegistry extends Error {
  override readonly name = "NewerRegistry";
}

export interface MigrateOptions {
  readonly url: string;
  /** Where a dump goes before a database that holds something is changed. */
  readonly dumps: string;
  /** The `pg_dump` program. */
  readonly pgDump: string;
}

/** The names of the migrations that the database has had, oldest first; none where it is new. */
async function applied(db: Db): Promise<string[]> {
  const { rows } = await sql<{ there: boolean }>`select to_regclass('kysely_migration') is not null as there`.execute(db);
  if (!rows[0]?.there) return [];
  return (await sql<{ name: string }>`select name from kysely_migration order by name`.execute(db)).rows.map(({ name }) => name);
}

/**
 * Brings the database to the form that this program knows, forward only, and dumps it first where it holds something.
 * Two at once wait for each other. Asks one question where there is nothing to do.
 */
export async function migrate(db: Db, options: MigrateOptions): Promise<void> {
  if (await isCurrent(db)) return;
  await inTransaction(db, async (trx) => {
    await holdLock(trx, "migrate");
    const before = await applied(trx);
    if (before.at(-1) === newestMigration) return;
    if (before.length > 0) await dump(options, before.at(-1)!);
    const { error } = await new Migrator({ db, provider: migrationProvider }).migrateToLatest();
    if (error)
      throw new Error(
        `the registry's database could not be brought from ${before.at(-1) ?? "nothing"} to ${newestMigration}: ${error instanceof Error ? error.message : "unknown"}`,
        {
          cause: error,
        },
      );
  });
}

async function isCurrent(db: Db): Promise<boolean> {
  const names = await applied(db);
  const known = await migrationProvider.getMigrations();
  const unknown = names.find((name) => !(name in known));
  if (unknown)
    throw new NewerRegistry(`the registry's database has had the migration "${unknown}", which this Airloom does not know: update this installation`);
  return names.at(-1) === newestMigration;
}

/** A dump that `pg_restore` reads, whole or not at all. The password goes by the environment, never by the command line. */
async function dump({ url, dumps, pgDump }: MigrateOptions, from: string): Promise<void> {
  await makeFolders(dumps, 0o700);
  const file = path.join(dumps, `registry-before-${newestMigration}-${new Date().toISOString().replaceAll(":", "-")}.dump`);
  const { hostname, port, username, password, pathname } = new URL(url);
  const env = {
    PGHOST: decodeURIComponent(hostname),
    PGPORT: port || "5432",
    PGUSER: decodeURIComponent(username),
    PGPASSWORD: decodeURIComponent(password),
    PGDATABASE: decodeURIComponent(pathname.slice(1)),
  };
  try {
    await execa(pgDump, ["--format=custom", `--file=${file}.tmp`], { env });
    await rename(`${file}.tmp`, file);
  } catch (cause) {
    await rm(`${file}.tmp`, { force: true });
    const said = cause instanceof ExecaError ? cause.stderr || cause.shortMessage : String(cause);
    throw new Error(
      `the registry's database is at ${from} and must be dumped before it is changed, which failed: ${said}. AIRLOOM_PG_DUMP names a pg_dump of the server's version or newer.`,
      { cause },
    );
  }
}

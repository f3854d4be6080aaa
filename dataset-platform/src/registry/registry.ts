import { randomUUID } from "node:crypto";
import { readFile } from "node:fs/promises";
import path from "node:path";
import type { Transaction } from "kysely";
import { atomicWrite } from "../store/atomic-write.ts";
import type { StorageLayout } from "../store/layout.ts";
import { again, type Db, inTransaction, openDatabase } from "./database.ts";
import { holdLock } from "./locks.ts";
import { migrate } from "./migrate.ts";
import type { Tables } from "./tables.ts";

/** The storage folder is not the one whose pictures the registry knows. */
export class WrongStorage extends Error {
  override readonly name = "WrongStorage";
}

export interface RegistryOptions {
  /** A postgresql:// URL of the registry's own database. */
  readonly url: string;
  readonly storage: StorageLayout;
  /** The `pg_dump` program, for a dump before a migration. */
  readonly pgDump: string;
}

/** The registry: the truth of what is known about each picture of a storage folder. Close it when done. */
export class Registry {
  readonly db: Db;

  private constructor(db: Db) {
    this.db = db;
  }

  /** Opens the registry, brings its database up to date and holds it against the storage folder. */
  static async open(options: RegistryOptions): Promise<Registry> {
    const registry = await Registry.openWithoutStorage(options);
    try {
      await bindStorage(registry, options.storage);
      return registry;
    } catch (error) {
      await registry.close();
      throw error;
    }
  }

  /** Opens the registry for what needs no storage folder: questions, and bringing a folder back. */
  static async openWithoutStorage({ url, storage, pgDump }: RegistryOptions): Promise<Registry> {
    const db = openDatabase(url);
    try {
      await again(() => migrate(db, { url, dumps: path.join(storage.private, "dumps"), pgDump }));
      return new Registry(db);
    } catch (error) {
      await db.destroy();
      throw error;
    }
  }

  async transaction<T>(work: (trx: Transaction<Tables>) => Promise<T>): Promise<T> {
    return inTransaction(this.db, work);
  }

  async close(): Promise<void> {
    await this.db.destroy();
  }
}

/**
 * Holds the storage folder against the registry: both carry one id, given when both were new. A folder without it is another
 * one, or a volume that is not mounted, and must not be taken for one that has lost everything.
 */
async function bindStorage(registry: Registry, storage: StorageLayout): Promise<void> {
  const file = path.join(storage.private, "storage-id");
  const read = async () =>
    readFile(file, "utf8").then(
      (text) => text.trim(),
      (error: NodeJS.ErrnoException) => {
        if (error.code === "ENOENT") return undefined;
        throw error;
      },
    );
  await registry.transaction(async (trx) => {
    const known = await trx.selectFrom("storage").select("id").executeTakeFirst();
    const here = await read();
    if (known && known.id === here) return;
    await holdLock(trx, "migrate");
    const id = (await trx.selectFrom("storage").select("id").executeTakeFirst())?.id;
    if (id && id === (await read())) return;
    const isEmpty = (await trx.selectFrom("images").select("sha256").limit(1).executeTakeFirst()) === undefined;
    if (!isEmpty)
      throw new WrongStorage(
        here
          ? `${storage.root} belongs to another registry (its .airloom/storage-id is ${here}, this registry's is ${id}): set STORAGE_DIR or DATABASE_URL right`
          : `the registry knows pictures, and ${storage.root} is not the folder that holds them (it has no .airloom/storage-id): is its volume mounted, and STORAGE_DIR right? \`npx airloom data restore --storage\` makes the folder again from DVC's remote`,
      );
    // A registry that knows no picture yet goes with any folder: a new one, or one that another registry has known.
    const next = here ?? id ?? randomUUID();
    if (id) await trx.updateTable("storage").set({ id: next }).execute();
    else await trx.insertInto("storage").values({ id: next }).execute();
    if (!here) await atomicWrite(file, `${next}\n`);
  });
}

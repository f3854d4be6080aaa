import { randomUUID } from "node:crypto";
import { existsSync } from "node:fs";
import { readFile, rename } from "node:fs/promises";
import path from "node:path";
import type { Transaction } from "kysely";
import { atomicWrite } from "../store/atomic-write.ts";
import type { StorageLayout } from "../store/layout.ts";
import { adoptStorage, holdsPictures } from "./adopt.ts";
import { again, type Db, inTransaction, openDatabase } from "./database.ts";
import { personHere } from "./events.ts";
import { readLegacyRegistry } from "./legacy-registry.ts";
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
  /** A Python 3, to read the SQLite registry of an earlier Airloom. */
  readonly python: string;
  /** Told of what a person should know. */
  readonly say: (line: string) => void;
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
      await bindStorage(registry, options);
      return registry;
    } catch (error) {
      await registry.close();
      throw error;
    }
  }

  /** Opens the registry for what needs no storage folder: questions, and bringing a folder back. */
  static async openWithoutStorage({ url, storage, pgDump }: Pick<RegistryOptions, "url" | "storage" | "pgDump">): Promise<Registry> {
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
async function bindStorage(registry: Registry, options: RegistryOptions): Promise<void> {
  const { storage } = options;
  const file = path.join(storage.private, "storage-id");
  const earlier = await registry.transaction(async (trx) => {
    if (await isBound(trx, file)) return undefined;
    await holdLock(trx, "migrate");
    // Another process may have bound it while this one waited.
    if (await isBound(trx, file)) return undefined;
    const known = (await trx.selectFrom("storage").select("id").executeTakeFirst())?.id;
    const here = await readId(file);
    const isEmpty = (await trx.selectFrom("images").select("sha256").limit(1).executeTakeFirst()) === undefined;
    if (!isEmpty) throw wrongStorage(storage, known, here);
    // A registry that knows no picture yet goes with any folder: a new one, or one that another registry has known.
    const id = here ?? known ?? randomUUID();
    if (known) await trx.updateTable("storage").set({ id }).execute();
    else await trx.insertInto("storage").values({ id }).execute();
    const taken = (await holdsPictures(storage)) ? await adopt(trx, options) : undefined;
    if (!here) await atomicWrite(file, `${id}\n`);
    return taken;
  });
  // Only once its rows are safe: a run that ends before this takes it over again.
  if (earlier) await rename(earlier, `${earlier}.taken-over`);
}

/** Whether registry and folder carry the same id. A registry without pictures beside a folder with some has lost them. */
async function isBound(trx: Transaction<Tables>, file: string): Promise<boolean> {
  const known = await trx.selectFrom("storage").select("id").executeTakeFirst();
  return known !== undefined && known.id === (await readId(file));
}

async function readId(file: string): Promise<string | undefined> {
  return readFile(file, "utf8").then(
    (text) => text.trim(),
    (error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT") return undefined;
      throw error;
    },
  );
}

function wrongStorage({ root }: StorageLayout, known: string | undefined, here: string | undefined): WrongStorage {
  return new WrongStorage(
    here
      ? `${root} belongs to another registry (its .airloom/storage-id is ${here}, this registry's is ${known}): set STORAGE_DIR or DATABASE_URL right`
      : `the registry knows pictures, and ${root} is not the folder that holds them (it has no .airloom/storage-id): is its volume mounted, and STORAGE_DIR right? \`npx airloom data rebuild --new-folder\` makes it again from DVC's remote`,
  );
}

/** Takes in what lies in the folder, and what an earlier Airloom's registry says of it; the file of that registry, if there is one. */
async function adopt(trx: Transaction<Tables>, { storage, python, say }: RegistryOptions): Promise<string | undefined> {
  const earlier = existsSync(storage.registry) ? storage.registry : undefined;
  say(`${storage.root} holds pictures that the registry does not know: taking them in${earlier ? `, with ${earlier}` : ""}`);
  const legacy = earlier ? await readLegacyRegistry(earlier, python) : undefined;
  const { images, labelled, leftOut } = await adoptStorage(trx, storage, legacy, personHere());
  for (const line of leftOut) say(line);
  say(`${images} pictures are taken in, ${labelled} of them labelled${leftOut.length > 0 ? `; ${leftOut.length} files are not as they should be` : ""}`);
  return earlier;
}

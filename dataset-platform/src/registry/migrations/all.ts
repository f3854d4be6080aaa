import type { Migration, MigrationProvider } from "kysely";
import * as registry from "./0001-registry.ts";

/** Every migration under its name, in the order of their numbers. Imported by name, so that a bundle holds them. */
const migrations: Readonly<Record<string, Migration>> = { "0001-registry": registry };

export const migrationProvider: MigrationProvider = { getMigrations: async () => ({ ...migrations }) };

/** The name of the newest migration: the form of the database that this program knows. */
export const newestMigration: string = Object.keys(migrations).toSorted().at(-1)!;

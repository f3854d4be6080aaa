// A database of its own for a test.
import { randomUUID } from "node:crypto";
import pg from "pg";

const server = () => process.env["AIRLOOM_TEST_DATABASE_URL"] ?? "postgresql://postgres@127.0.0.1:5432/postgres";

export interface TestDatabase {
  readonly url: string;
  drop(): Promise<void>;
}

async function ask(statement: string): Promise<void> {
  const client = new pg.Client({ connectionString: server() });
  await client.connect();
  try {
    await client.query(statement);
  } finally {
    await client.end();
  }
}

/** Makes an empty database with a random name. */
export async function newDatabase(): Promise<TestDatabase> {
  const name = `test_${randomUUID().replaceAll("-", "")}`;
  await ask(`create database ${name} template template0 encoding 'UTF8'`);
  const url = new URL(server());
  url.pathname = `/${name}`;
  return { url: url.href, drop: () => ask(`drop database if exists ${name} with (force)`) };
}

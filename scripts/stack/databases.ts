import { Client, DatabaseError, escapeIdentifier } from "pg";
import { databaseNames, type DatabaseServer, databaseUrl } from "./database-url.ts";

/** Lets `work` use a connection to a database, which is closed afterwards. */
export async function withConnection<T>(url: string, work: (client: Client) => Promise<T>): Promise<T> {
  // What sslmode means is libpq's business, as for Airflow and MLflow.
  const connectionString = url.includes("?") ? `${url}&uselibpqcompat=true` : url;
  const client = new Client({ connectionString, connectionTimeoutMillis: 5000, application_name: "airloom" });
  // A server that goes away while nobody asks it: the next query says so.
  client.on("error", () => undefined);
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end().catch(() => undefined);
  }
}

const codeOf = (error: unknown) => (error instanceof DatabaseError ? error.code : undefined);

/** Makes the databases that a server lacks, in UTF-8. Two that do so at the same time do not disturb each other. */
export async function ensureDatabases(server: DatabaseServer, names: readonly string[] = databaseNames): Promise<void> {
  const where = `${server.host}:${server.port}`;
  try {
    await withConnection(databaseUrl(server, server.first), async (client) => {
      const { rows } = await client.query<{ datname: string }>("select datname from pg_database");
      const present = new Set(rows.map(({ datname }) => datname));
      for (const name of names.filter((wanted) => !present.has(wanted)))
        // 42P04 and 23505: somebody else has just made it.
        await client.query(`create database ${escapeIdentifier(name)} template template0 encoding 'UTF8'`).catch((error: unknown) => {
          if (!["42P04", "23505"].includes(codeOf(error) ?? "")) throw error;
        });
    });
  } catch (cause) {
    const reason = cause instanceof AggregateError ? cause.errors.map(String).join("; ") : cause instanceof Error ? cause.message : String(cause);
    const mend: Record<string, string> = {
      "28P01": `the password of "${server.user}" in .env is not that of the server`,
      "42501": `"${server.user}" may not make databases there: have ${names.join(", ")} made for it`,
      "3D000": `end DATABASE_URL with the name of a database that is there`,
    };
    throw new Error(`PostgreSQL on ${where}: ${reason}${mend[codeOf(cause) ?? ""] ? `. ${mend[codeOf(cause)!]}` : ""}`, { cause });
  }
}

/** Whether a server answers. One that refuses the log-in does: who wants more of it will be told why. */
export async function answers(server: DatabaseServer): Promise<boolean> {
  return withConnection(databaseUrl(server, server.first), (client) => client.query("select 1")).then(
    () => true,
    // 57P03: it is still starting.
    (error: unknown) => codeOf(error) !== undefined && codeOf(error) !== "57P03",
  );
}

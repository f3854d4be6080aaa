// PostgreSQL for tests: one server for a whole run, or one that ends with the process that first asks.
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { chmodSync, closeSync, mkdtempSync, openSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { escapeIdentifier } from "pg";
import { databaseUrl, type DatabaseServer, parseDatabaseUrl } from "../scripts/stack/database-url.ts";
import { answers, withConnection } from "../scripts/stack/databases.ts";
import { preparePostgres } from "../scripts/stack/postgres.ts";
import { freePorts } from "./free-port.ts";

/** A server for tests. */
export interface TestPostgres {
  /** Of the database `postgres` on it, with a superuser's log-in. */
  readonly url: string;
  /** Ends the server and takes its files away. Where nobody calls it, that happens when this process ends, however it does. */
  stop(): Promise<void>;
}

const root = fileURLToPath(new URL("../", import.meta.url));

/** Runs "$@" until its standard input is closed, which the end of the process that holds the other end does; then removes $FOLDER. */
const watch = `
"$@" </dev/null & server=$!
cat >/dev/null
kill -INT "$server" 2>/dev/null
wait "$server"
rm -rf "$FOLDER"
`;

/** Starts an empty PostgreSQL in a temporary folder, on a free port of loopback; what it holds is not safe from a power cut. */
export async function startTestPostgres(password = randomBytes(12).toString("base64url")): Promise<TestPostgres> {
  const folder = mkdtempSync(path.join(tmpdir(), "airloom-postgres-"));
  // The server's own user has to get in; what matters beneath is closed.
  chmodSync(folder, 0o711);
  const server: DatabaseServer = {
    host: "127.0.0.1",
    port: (await freePorts(1))[0]!,
    user: "airloom",
    password,
    first: "postgres",
    sslmode: undefined,
  };
  const settings = { fsync: "off", synchronous_commit: "off", full_page_writes: "off" };
  const { command, args, env } = await preparePostgres(path.join(root, ".venv"), { ...server, data: path.join(folder, "data"), settings });
  const logFile = path.join(folder, "log");
  const log = openSync(logFile, "a", 0o600);
  // In a group of its own: Ctrl-C reaches the tests, which may still want the database.
  const watcher = spawn("sh", ["-c", watch, "sh", command, ...args], { env: { ...env, FOLDER: folder }, cwd: "/", stdio: ["pipe", log, log], detached: true });
  closeSync(log);
  const ended = new Promise<void>((resolve, reject) => watcher.on("exit", () => resolve()).on("error", reject));
  ended.catch(() => undefined);
  const { stdin } = watcher;
  watcher.unref();
  // Node's pipe is a socket, whose type does not say so.
  if (stdin && "unref" in stdin) (stdin as unknown as { unref(): void }).unref();
  for (const deadline = Date.now() + 30_000; !(await answers(server)); await new Promise((resolve) => setTimeout(resolve, 50)))
    if (Date.now() > deadline || watcher.exitCode !== null) throw new Error(`PostgreSQL for the tests did not start:\n${readFileSync(logFile, "utf8")}`);
  return {
    url: databaseUrl(server, server.first),
    stop: async () => {
      watcher.ref();
      stdin?.end();
      await ended;
    },
  };
}

let started: Promise<TestPostgres> | undefined;

/** The URL of a PostgreSQL for tests: AIRLOOM_TEST_DATABASE_URL, or a server that is started for this process. */
export async function testServer(): Promise<string> {
  const given = process.env["AIRLOOM_TEST_DATABASE_URL"];
  if (given) return given;
  started ??= startTestPostgres();
  return (await started).url;
}

/** A database of a test's own. */
export interface TestDatabase {
  readonly url: string;
  readonly name: string;
  drop(): Promise<void>;
}

/** An empty database of a random name, for one test; `drop` it in the end. */
export async function newDatabase(): Promise<TestDatabase> {
  const first = await testServer();
  const name = `test_${randomBytes(8).toString("hex")}`;
  await withConnection(first, (client) => client.query(`create database ${escapeIdentifier(name)} template template0 encoding 'UTF8'`));
  return {
    url: databaseUrl(parseDatabaseUrl(first), name),
    name,
    drop: async () => {
      // Also while somebody is still connected.
      await withConnection(first, (client) => client.query(`drop database if exists ${escapeIdentifier(name)} with (force)`));
    },
  };
}

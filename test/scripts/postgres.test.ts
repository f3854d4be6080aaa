import assert from "node:assert/strict";
import { chmod, cp, mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { execa } from "execa";
import { databaseUrl } from "../../scripts/stack/database-url.ts";
import { ensureDatabases, withConnection } from "../../scripts/stack/databases.ts";
import { preparePostgres } from "../../scripts/stack/postgres.ts";
import { readSettings, type StackSettings } from "../../scripts/stack/settings.ts";
import { type Stack, startStack } from "../../scripts/stack/stack.ts";
import { freePorts } from "../free-port.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));
const venv = path.join(root, ".venv");
const isRoot = process.getuid?.() === 0;
const strange = "p'w \"$`\\ä@/:#%&";

describe("the PostgreSQL that comes with Airloom", function () {
  this.timeout(60_000);
  let folder: string;
  let home: string;
  let overrides: Record<string, string>;
  let stacks: Stack[];
  const settings = (more: Record<string, string> = {}): StackSettings => readSettings({ ...overrides, ...more });
  const start = async (given = settings()) => {
    const stack = await startStack(given, ["postgres"], () => undefined);
    stacks.push(stack);
    return stack;
  };
  const ask = async (sql: string, given = settings(), name = "airloom") =>
    withConnection(databaseUrl(given.database, name), async (client) => (await client.query(sql)).rows as Record<string, unknown>[]);
  const postmaster = async () => Number((await readFile(path.join(home, "postgres/postmaster.pid"), "utf8")).split("\n")[0]);

  beforeEach(async () => {
    // mkdtemp's folder is closed to others, as a clone beneath /root is.
    folder = await mkdtemp(path.join(tmpdir(), "airloom-pg-"));
    home = path.join(folder, "home");
    const port = String((await freePorts(1))[0]);
    overrides = { AIRLOOM_HOME: home, POSTGRES_PORT: port, POSTGRES_PASSWORD: strange, DATABASE_URL: "", INCOMING_DIR: folder, MODEL_DIR: folder };
    stacks = [];
  });
  afterEach(async () => {
    for (const stack of stacks) await stack.stop();
    await rm(folder, { recursive: true, force: true, maxRetries: 20 });
  });

  it("makes its files for one user alone, listens on loopback, has the three databases, and says the password nowhere", async () => {
    await start(settings({ LISTEN_HOST: "0.0.0.0" }));
    const data = path.join(home, "postgres");
    assert.equal((await stat(data)).mode & 0o777, 0o700);
    assert.deepEqual((await readdir(home)).toSorted(), ["logs", "postgres"]);
    const names = (await ask("select datname, pg_encoding_to_char(encoding) as e from pg_database where not datistemplate order by 1")).map(
      (row) => `${String(row["datname"])} ${String(row["e"])}`,
    );
    assert.deepEqual(names, ["airflow UTF8", "airloom UTF8", "mlflow UTF8", "postgres UTF8"]);
    const show = async (name: string) => Object.values((await ask(`show ${name}`))[0]!)[0];
    assert.equal(await show("listen_addresses"), "127.0.0.1");
    assert.equal(await show("unix_socket_directories"), "");
    assert.equal(await show("max_connections"), "200");
    assert.match(await readFile(path.join(data, "pg_hba.conf"), "utf8"), /^host\s+all\s+all\s+127\.0\.0\.1\/32\s+scram-sha-256$/m);
    await assert.rejects(ask("select 1", settings({ POSTGRES_PASSWORD: "wrong" })), /password authentication failed/);
    const { stdout } = await execa("ps", ["-eo", "args", "ww"]);
    const log = await readFile(path.join(home, "logs/postgres.log"), "utf8");
    for (const text of [stdout, log]) assert.ok(!text.includes(strange));
  });

  it("keeps its rows over a stop, over kill -9, and over a lock whose number another program has got", async () => {
    const stack = await start();
    await ask("create table kept (n int)");
    await ask("insert into kept values (1)");
    await stack.stop();
    assert.match(await readFile(path.join(home, "logs/postgres.log"), "utf8"), /received fast shutdown request[^]*database system is shut down/);

    const second = await start();
    await ask("insert into kept values (2)");
    process.kill(await postmaster(), "SIGKILL");
    await second.stop();
    const lock = path.join(home, "postgres/postmaster.pid");
    await writeFile(lock, (await readFile(lock, "utf8")).replace(/^\d+/, String(process.pid)));

    await start();
    assert.deepEqual(await ask("select n from kept order by n"), [{ n: 1 }, { n: 2 }]);
  });

  it("does not start a second server on the same data", async () => {
    await start();
    const pid = await postmaster();
    await assert.rejects(
      start(settings({ POSTGRES_PORT: String((await freePorts(1))[0]) })),
      new RegExp(`a PostgreSQL \\(pid ${pid}\\) already serves ${home}/postgres`),
    );
    assert.equal((await ask("select 1 as one"))[0]!["one"], 1);
  });

  it("leaves nothing half-made where its first start is killed", async () => {
    const script = `
      import { preparePostgres } from ${JSON.stringify(path.join(root, "scripts/stack/postgres.ts"))};
      await preparePostgres(${JSON.stringify(venv)}, { data: ${JSON.stringify(path.join(home, "postgres"))}, port: 1, user: "airloom", password: "x" });
    `;
    const file = path.join(folder, "first.mts");
    await writeFile(file, script);
    const child = execa(process.execPath, ["--import", "tsx", file], { cwd: root, reject: false });
    const isUnderWay = async () => (await readdir(home).catch(() => [])).some((name) => name.startsWith("postgres.new-"));
    while (!(await isUnderWay())) await new Promise((resolve) => setTimeout(resolve, 5));
    child.kill("SIGKILL");
    await child;
    assert.ok(!(await readdir(home)).includes("postgres"));
    await start();
    assert.deepEqual((await readdir(home)).toSorted(), ["logs", "postgres"]);
  });

  it("takes over a new POSTGRES_PASSWORD", async () => {
    await (await start()).stop();
    const changed = settings({ POSTGRES_PASSWORD: `new ${strange}` });
    await start(changed);
    assert.equal((await ask("select 1 as one", changed))[0]!["one"], 1);
    await assert.rejects(ask("select 1"), /password authentication failed/);
  });

  it("refuses data of another PostgreSQL, and what is not data at all", async () => {
    const data = path.join(home, "postgres");
    await mkdir(data, { recursive: true });
    await assert.rejects(start(), /holds no PostgreSQL data that this user can read/);
    await writeFile(path.join(data, "PG_VERSION"), "16\n");
    await assert.rejects(start(), /was made by PostgreSQL 16, and this is PostgreSQL 18, which cannot read it: dump it with/);
    await assert.rejects(start(settings({ POSTGRES_PASSWORD: "" })), /POSTGRES_PASSWORD in \.env has to be one line that is not empty/);
  });

  (isRoot ? describe : describe.skip)("for root", () => {
    const prepare = (data: string) => preparePostgres(venv, { data, port: 1, user: "airloom", password: "x" });

    it("runs as another user, with one capability where a folder above is closed, and with none where none is", async () => {
      await start();
      const status = await readFile(`/proc/${await postmaster()}/status`, "utf8");
      assert.doesNotMatch(status, /^Uid:\t0/m);
      // CAP_DAC_READ_SEARCH is bit 2.
      assert.match(status, /^CapEff:\t0000000000000004$/m);
      const open = path.join(folder, "open");
      await chmod(folder, 0o711);
      assert.ok(!(await prepare(open)).args.some((arg) => arg.includes("dac_")));
    });

    it("takes files that root has copied there, and goes on as the user that made them", async () => {
      await (await start()).stop();
      const data = path.join(home, "postgres");
      const { uid } = await stat(data);
      await cp(data, `${data}.copy`, { recursive: true });
      assert.equal((await stat(`${data}.copy`)).uid, 0);
      await chmod(`${data}.copy`, 0o700);
      assert.ok((await prepare(`${data}.copy`)).args.includes(`--reuid=${uid}`));
      assert.equal((await stat(path.join(`${data}.copy`, "base"))).uid, uid);
      await execa("chown", ["-R", "4242:4242", data]);
      await start();
      assert.match(await readFile(`/proc/${await postmaster()}/status`, "utf8"), /^Uid:\t4242/m);
    });

    it("says what to do where setpriv or the capability is missing", async () => {
      const before = process.env["PATH"];
      try {
        for (const name of ["id", "sh"]) await symlink((await execa("which", [name])).stdout, path.join(folder, name));
        process.env["PATH"] = folder;
        await assert.rejects(
          prepare(path.join(home, "postgres")),
          /could not be started as user \d+ .*setpriv.*Else start Airloom as a user other than root, or set DATABASE_URL/,
        );
      } finally {
        process.env["PATH"] = before;
      }
      const file = path.join(folder, "bounded.mts");
      const data = path.join(home, "postgres");
      await writeFile(
        file,
        `import { preparePostgres } from ${JSON.stringify(path.join(root, "scripts/stack/postgres.ts"))};
         const { args } = await preparePostgres(${JSON.stringify(venv)}, { data: ${JSON.stringify(data)}, port: 1, user: "airloom", password: "x" });
         console.log(args.join(" "));`,
      );
      const without = (names: string) => execa("setpriv", [`--bounding-set=${names}`, process.execPath, "--import", "tsx", file], { cwd: root, reject: false });
      assert.match((await without("-dac_read_search,-dac_override")).stderr, /CAP_DAC_READ_SEARCH or CAP_DAC_OVERRIDE/);
      // As Docker has it.
      assert.match((await without("-dac_read_search")).stdout, /--ambient-caps=\+dac_override/);
    });

    it("works for an ordinary user as well", async function () {
      const file = path.join(folder, "user.mts");
      const data = path.join(folder, "theirs/postgres");
      await chmod(folder, 0o711);
      await mkdir(path.dirname(data));
      await execa("chown", ["nobody", path.dirname(data)]);
      await writeFile(
        file,
        `import { preparePostgres } from ${JSON.stringify(path.join(root, "scripts/stack/postgres.ts"))};
         import { Supervisor } from ${JSON.stringify(path.join(root, "scripts/stack/supervisor.ts"))};
         import { answers } from ${JSON.stringify(path.join(root, "scripts/stack/databases.ts"))};
         const server = { host: "127.0.0.1", port: ${overrides["POSTGRES_PORT"]}, user: "airloom", password: "x", first: "postgres", sslmode: undefined };
         const program = await preparePostgres(${JSON.stringify(venv)}, { ...server, data: ${JSON.stringify(data)} });
         const supervisor = new Supervisor("/", ${JSON.stringify(path.dirname(data))});
         supervisor.start(program);
         for (let left = 200; left > 0 && !(await answers(server)); left--) await new Promise((resolve) => setTimeout(resolve, 50));
         console.log(await answers(server), program.command.split("/").at(-1));
         await supervisor.stop();`,
      );
      const env = { HOME: path.dirname(data), PATH: process.env["PATH"], TMPDIR: path.dirname(data) };
      const as = ["--reuid=nobody", "--regid=65534", "--clear-groups"];
      if ((await execa("setpriv", [...as, "ls", root, process.execPath], { reject: false })).exitCode !== 0) this.skip();
      const { stdout } = await execa("setpriv", [...as, process.execPath, "--import", "tsx", file], { cwd: root, env, extendEnv: false });
      assert.equal(stdout, "true postgres");
      assert.equal((await stat(data)).uid, (await stat(path.dirname(data))).uid);
    });
  });
});

describe("a PostgreSQL of one's own", function () {
  this.timeout(60_000);

  it("gets what databases it lacks, once, and says what it refuses", async () => {
    const { startTestPostgres } = await import("../database.ts");
    const postgres = await startTestPostgres();
    try {
      await withConnection(postgres.url, async (client) => {
        await client.query(`create role "me@here" login createdb password ${client.escapeLiteral(strange)}`);
        await client.query(`create role poor login password 'x'`);
      });
      const at = new URL(postgres.url);
      const url = (user: string, password: string, rest: string) => `postgresql://${[user, password].map(encodeURIComponent).join(":")}@${at.host}${rest}`;
      const serverOf = (text: string) => readSettings({ DATABASE_URL: text }).database;
      const poor = serverOf(url("poor", "x", ""));
      await assert.rejects(
        ensureDatabases(poor),
        /permission denied to create database\. "poor" may not make databases there: have airflow, mlflow, airloom made for it/,
      );
      const own = serverOf(url("me@here", strange, ""));
      await Promise.all([ensureDatabases(own), ensureDatabases(own)]);
      await ensureDatabases(poor);
      const { rows } = await withConnection(databaseUrl(own, "airflow"), (client) => client.query("select current_user as who, current_database() as here"));
      assert.deepEqual(rows, [{ who: "me@here", here: "airflow" }]);
      await assert.rejects(ensureDatabases(serverOf(url("me@here", "no", ""))), /the password of "me@here" in \.env is not that of the server/);
      await assert.rejects(
        ensureDatabases(serverOf(url("me@here", strange, "/nope"))),
        /database "nope" does not exist\. end DATABASE_URL with the name of a database that is there/,
      );
      const nobody = readSettings({ DATABASE_URL: `postgresql://u:p@127.0.0.1:${(await freePorts(1))[0]}` }).database;
      await assert.rejects(ensureDatabases(nobody), /^Error: PostgreSQL on 127\.0\.0\.1:\d+: .*ECONNREFUSED/);
    } finally {
      await postgres.stop();
    }
  });
});

describe("the PostgreSQL of the tests", function () {
  this.timeout(60_000);

  it("ends with the process that started it, even by SIGKILL, and leaves no files", async () => {
    const folder = await mkdtemp(path.join(tmpdir(), "airloom-pg-"));
    try {
      const script = `
        import { newDatabase } from ${JSON.stringify(path.join(root, "test/database.ts"))};
        const { url, drop } = await newDatabase();
        if (process.argv[2] === "drop") await drop();
        console.log(url);
        if (process.argv[2] === "stay") setInterval(() => undefined, 1000);
      `;
      const file = path.join(folder, "child.mts");
      await writeFile(file, script);
      for (const how of ["drop", "leave", "stay"]) {
        const child = execa(process.execPath, ["--import", "tsx", file, how], {
          cwd: root,
          reject: false,
          env: { AIRLOOM_TEST_DATABASE_URL: "", TMPDIR: folder },
        });
        const url = await new Promise<string>((resolve) => child.stdout.once("data", (chunk: Buffer) => resolve(String(chunk).trim())));
        if (how === "stay") child.kill("SIGKILL");
        assert.equal((await child).exitCode, how === "stay" ? undefined : 0);
        const left = async () => (await readdir(folder)).filter((name) => name.startsWith("airloom-postgres-"));
        for (let wait = 200; wait > 0 && (await left()).length > 0; wait--) await new Promise((resolve) => setTimeout(resolve, 50));
        assert.deepEqual(await left(), [], how);
        await assert.rejects(
          withConnection(url, (client) => client.query("select 1")),
          /ECONNREFUSED/,
        );
      }
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });
});

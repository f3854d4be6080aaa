import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { ensureEnvFile } from "../../scripts/set-up/env-file.mjs";
import { isFree, tryFindHolder } from "../../scripts/stack/ports.ts";
import { readSettings } from "../../scripts/stack/settings.ts";
import { chooseParts } from "../../scripts/stack/stack.ts";
import { Supervisor } from "../../scripts/stack/supervisor.ts";
import { waitFor } from "../patience.ts";
import { descendantsOf, isAlive } from "../processes.ts";

describe("npm start", () => {
  let folder: string;
  beforeEach(async () => (folder = await mkdtemp(path.join(tmpdir(), "stack-"))));
  afterEach(() => rm(folder, { recursive: true, force: true }));

  it("writes .env once, for its owner alone, with secrets that fit their use", async () => {
    const made = ensureEnvFile(folder);
    assert.ok(made.includes("AIRFLOW__CORE__FERNET_KEY"));
    const text = await readFile(path.join(folder, ".env"), "utf8");
    assert.equal((await stat(path.join(folder, ".env"))).mode & 0o777, 0o600);
    // A Fernet key is 32 bytes in URL-safe base64.
    assert.equal(Buffer.from(/FERNET_KEY=(.*)/.exec(text)![1]!, "base64url").length, 32);
    assert.deepEqual(ensureEnvFile(folder), []);
    assert.equal(await readFile(path.join(folder, ".env"), "utf8"), text);
  });

  it("adds what a present .env lacks, and leaves the rest", async () => {
    await writeFile(path.join(folder, ".env"), "LABELER_PASSWORD=mine\nOTHER=1\n");
    assert.ok(!ensureEnvFile(folder).includes("LABELER_PASSWORD"));
    assert.match(await readFile(path.join(folder, ".env"), "utf8"), /^LABELER_PASSWORD=mine\nOTHER=1\n/);
  });

  it("names the program that holds a port", async () => {
    const server = createServer();
    const port = await new Promise<number>((resolve) => server.listen(0, "127.0.0.1", () => resolve((server.address() as { port: number }).port)));
    assert.equal(await isFree("127.0.0.1", port), false);
    assert.match(tryFindHolder(port) ?? "", new RegExp(`\\(pid ${process.pid}\\)`));
    server.close();
  });

  it("takes --only with what it needs, and leaves down what a CVAT or a PostgreSQL of one's own takes the place of", () => {
    const none = { CVAT_URL: "", DATABASE_URL: "" };
    const settings = readSettings(none);
    assert.deepEqual(chooseParts("mlflow,airflow", settings), ["postgres", "mlflow", "airflow"]);
    assert.deepEqual(chooseParts("inference", settings), ["inference"]);
    assert.deepEqual(chooseParts("postgres", settings), ["postgres"]);
    assert.throws(() => chooseParts("mlflow,nope", settings), /knows postgres, labeler, mlflow, inference, airflow, and not "nope"/);
    assert.deepEqual(chooseParts(undefined, readSettings({ ...none, CVAT_URL: "http://cvat" })), ["postgres", "mlflow", "inference", "airflow"]);
    const own = readSettings({ ...none, DATABASE_URL: "postgresql://me:secret@db/mine" });
    assert.deepEqual(chooseParts("mlflow,airflow", own), ["mlflow", "airflow"]);
    assert.throws(() => chooseParts("postgres", own), /^Error: there is nothing to start: \.env names another postgres$/);
  });

  it("ends a program that others need after them, by its own signal", async () => {
    const supervisor = new Supervisor(folder, folder);
    const env = { PATH: process.env["PATH"], OUT: path.join(folder, "order") };
    const program = (name: string, signal: string) => ({
      name,
      command: "sh",
      args: ["-c", `trap 'sleep 0.2; echo ${name} >> $OUT; exit' ${signal}; echo ready; while :; do sleep 0.05; done`],
      env,
    });
    supervisor.start({ ...program("database", "INT"), stop: { signal: "SIGINT", last: true, graceMs: 5000 } });
    supervisor.start(program("user", "TERM"));
    const isReady = async (name: string) => (await readFile(supervisor.logFile(name), "utf8")).includes("ready");
    while (!((await isReady("database")) && (await isReady("user")))) await new Promise((resolve) => setTimeout(resolve, 20));
    await supervisor.stop();
    assert.equal(await readFile(env.OUT, "utf8"), "user\ndatabase\n");
    assert.throws(() => supervisor.start(program("late", "TERM")), /late is not started: everything is being stopped/);
  }).timeout(30_000);

  it("stops every program and its children, also those that ignore SIGTERM, and tells when one dies", async () => {
    const supervisor = new Supervisor(folder, folder);
    const death = new Promise<string>((resolve) => supervisor.onDeath(resolve));
    const env = { PATH: process.env["PATH"] };
    supervisor.start({ name: "parent", command: "sh", args: ["-c", "trap '' TERM; sleep 300 & wait; sleep 300"], env });
    supervisor.start({ name: "short", command: "sh", args: ["-c", "echo last words; exit 3"], env });
    assert.match(await death, /short ended \(exit code 3\).*last words/s);
    // The shell and its sleep: nothing else of this process sleeps.
    const asleep = () => descendantsOf([process.pid]).filter(({ args }) => args.join(" ") === "sleep 300" || args[2]?.startsWith("trap ''"));
    const started = await waitFor(() => asleep().length === 2 && asleep(), { what: "the program and its child to be there" });
    await supervisor.stop();
    await waitFor(() => !started.some(({ pid }) => isAlive(pid)), { what: "the end of the program and its child" });
  }).timeout(30_000);
});

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

  it("takes --only, and leaves the labeler down where a CVAT is set", () => {
    const settings = readSettings({ CVAT_URL: "" });
    assert.deepEqual(chooseParts("mlflow,airflow", settings), ["mlflow", "airflow"]);
    assert.throws(() => chooseParts("mlflow,nope", settings), /knows labeler, mlflow, inference, airflow, and not "nope"/);
    assert.deepEqual(chooseParts(undefined, readSettings({ CVAT_URL: "http://cvat" })), ["mlflow", "inference", "airflow"]);
  });

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

import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { execa } from "execa";
import { compileDags } from "../src/compiler/compile.ts";
import { writeOutputs } from "../src/compiler/write.ts";
import { patientAirflow } from "../../test/patient-airflow.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));
const bin = (name: string) => path.join(root, ".venv/bin", name);

describe("what goes wrong while a task runs", () => {
  let folder: string;
  before(async function () {
    this.timeout(120_000);
    folder = await mkdtemp(path.join(tmpdir(), "bad-"));
    const { files, diagnostics } = await compileDags([path.join(root, "sdk/test/bad-input/bad.dag.ts")], { root, outDir: folder });
    assert.deepEqual(diagnostics, []);
    await writeOutputs(folder, files);
    await execa(bin("airflow"), ["db", "migrate"], { env: environment({}) });
  });
  after(() => rm(folder, { recursive: true, force: true }));
  const environment = (more: Record<string, string>) => ({
    AIRFLOW_HOME: path.join(folder, ".home"),
    AIRFLOW__CORE__DAGS_FOLDER: folder,
    AIRFLOW__CORE__LOAD_EXAMPLES: "False",
    ...patientAirflow,
    AIRLOOM_NODE: process.execPath,
    ...more,
  });
  async function run(more: Record<string, string> = {}): Promise<string> {
    const { all } = await execa(bin("python"), [path.join(root, "sdk/test/runtime/run_probe.py"), folder, "{}"], { env: environment(more), all: true });
    return all;
  }

  it("is in the task's log: a result of 10 MB, a message cut off, an exit, a promise that nobody awaits", async () => {
    const log = await run();
    assert.match(log, /the task's result is 10485762 bytes of JSON, and 1048576 is the most: write it to a file and return its path/);
    assert.match(log, /connection broke in the middle of a message, 15 bytes into it/);
    assert.match(log, /Node ended with exit code 3 before the task silent had a result/);
    assert.match(log, /nobody waits for this/);
    const { states } = JSON.parse(/^RESULT (.*)$/m.exec(log)![1]!) as { states: Record<string, { state: string }> };
    for (const task of ["half", "silent", "rejected"]) assert.equal(states[task]!.state, "failed", task);
  }).timeout(120_000);

  it("names Node and how to get it where it is missing, and does not try again", async () => {
    const log = await run({ AIRLOOM_NODE: "/no/such/node" });
    assert.match(log, /Node was not found on this worker at \/no\/such\/node \(AIRLOOM_NODE\): install Node 20\.19 or newer/);
    assert.match(log, /"big": \{"state": "failed", "tries": 1\}/);
  }).timeout(120_000);

  it("names the bundle and what to do where it is missing, and does not try again", async () => {
    await rm(path.join(folder, "probe.mjs"));
    const log = await run();
    assert.match(log, /probe\.mjs is missing on this worker: run compile-dags, and copy the whole folder/);
    assert.match(log, /"big": \{"state": "failed", "tries": 1\}/);
  }).timeout(120_000);
});

describe("an error in the generated file", () => {
  it("shows the place in TypeScript in Airflow's traceback", async () => {
    const folder = await mkdtemp(path.join(tmpdir(), "trace-"));
    try {
      const { files } = await compileDags([path.join(root, "sdk/examples/resources/resources.dag.ts")], { root, outDir: folder });
      // As if an older helper stood beside it, which does not know an argument.
      await writeOutputs(
        folder,
        files.map((file) => (file.name === "resources.py" ? { ...file, text: file.text.replace("pool_slots=2", "pool_slots=-2") } : file)),
      );
      const env = { AIRFLOW_HOME: path.join(folder, ".home"), AIRFLOW__CORE__DAGS_FOLDER: folder, AIRFLOW__CORE__LOAD_EXAMPLES: "False", ...patientAirflow };
      const { stdout } = await execa(bin("python"), [path.join(root, "sdk/test/read_dagbag.py"), folder], { env });
      const { errors } = JSON.parse(stdout.split("\n").at(-1)!) as { errors: Record<string, string> };
      assert.match(
        Object.values(errors).join(),
        /sdk\/examples\/resources\/resources\.dag\.ts:\d+: pool slots for work in dag resources cannot be less than 1/,
      );
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  }).timeout(60_000);
});

import assert from "node:assert/strict";
import { existsSync } from "node:fs";
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

interface Result {
  readonly states: Record<string, { state: string; tries: number }>;
  readonly xcoms: Record<string, unknown>;
}

/** Text that quoting, templating or a shell would change. */
const awkward = 'it\'s "quoted" {{ ds }} $(touch airloom-never) `x` \\ %s \n ü 😀 \u2028 </script>';

describe("tasks in a real Airflow", () => {
  let folder: string;
  let result: Result;
  let output: string;

  before(async function () {
    this.timeout(240_000);
    folder = await mkdtemp(path.join(tmpdir(), "runtime-"));
    const { files, diagnostics } = await compileDags([path.join(root, "sdk/test/runtime/probe.dag.ts")], { root, outDir: folder });
    assert.deepEqual(diagnostics, []);
    await writeOutputs(folder, files);
    const env = {
      AIRFLOW_HOME: path.join(folder, ".home"),
      AIRFLOW__CORE__DAGS_FOLDER: folder,
      AIRFLOW__CORE__LOAD_EXAMPLES: "False",
      ...patientAirflow,
      AIRFLOW_VAR_PROBE_IN: "from Airflow",
      AIRFLOW_CONN_PROBE_CONN: JSON.stringify({ conn_type: "http", host: "h", login: "me", password: "s3cret-w0rd", extra: { a: 1 } }),
      AIRLOOM_NODE: process.execPath,
    };
    await execa(bin("airflow"), ["db", "migrate"], { env });
    const run = await execa(bin("python"), [path.join(root, "sdk/test/runtime/run_probe.py"), folder, JSON.stringify({ text: awkward })], { env, all: true });
    output = run.all;
    result = JSON.parse(/^RESULT (.*)$/m.exec(output)![1]!) as Result;
  });
  after(() => rm(folder, { recursive: true, force: true }));

  it("get inputs and give results byte for byte, with parts of results and templates", () => {
    const echoed = result.xcoms["echo.return_value"] as { text: string; list: number[]; nested: unknown };
    assert.equal(echoed.text, awkward);
    assert.ok(!existsSync("airloom-never"), "a value reached a shell");
    assert.deepEqual(echoed.nested, { deep: [null, true, "😀"] });
    assert.deepEqual(result.xcoms["join.return_value"], { joined: `${awkward}/2`, third: 1, deep: "😀" });
  });

  it("reach Variables, Connections and XCom, and what is missing is undefined", () => {
    assert.deepEqual(result.xcoms["platform.return_value"], {
      variable: "from Airflow",
      written: "x!",
      none: null,
      login: "me",
      extra: { a: 1 },
      missing: true,
    });
    assert.deepEqual(result.xcoms["platform.extra"], [1, 2]);
  });

  it("learn how other runs stand, and that one was deleted", () =>
    assert.deepEqual(result.xcoms["runs.return_value"], { own: "running", is_queued: "queued", has_failed: "failed", was_deleted: null }));

  it("log by level with fields, and what is printed", () => {
    assert.match(output, /warning.*a warning field="value ü"/i);
    assert.match(output, /to stdout/);
    assert.doesNotMatch(output, /s3cret-w0rd/);
  });

  it("skip, and what depends on them is skipped", () => {
    assert.equal(result.states["skip"]!.state, "skipped");
    assert.equal(result.states["after_skip"]!.state, "skipped");
  });

  it("fail at once with a TerminalError or a wrong input, whatever their retries", () => {
    assert.deepEqual(result.states["terminal"], { state: "failed", tries: 1 });
    assert.deepEqual(result.states["bad_input"], { state: "failed", tries: 1 });
    assert.match(output, /the input of bad_input is wrong: n: Instance type "string" is invalid. Expected "number"/);
    // The place in the TypeScript source stands in the log.
    assert.match(output, /probe\.dag\.ts:\d+/);
  });

  it("fail with a clear message when Node is killed, hangs, or gives what is no JSON", () => {
    assert.equal(result.states["crash"]!.state, "failed");
    assert.match(output, /Node was killed by signal 9 before the task crash had a result/);
    assert.equal(result.states["spin"]!.state, "failed");
    assert.equal(result.states["cyclic"]!.state, "failed");
    assert.match(output, /the task's result is not JSON/);
  });

  it("call callbacks with what happened, and what they need of Airflow", () => {
    assert.match(output, /told of happy: execute running {2}from Airflow/);
    assert.match(output, /told of happy: success success {2}from Airflow/);
    assert.match(output, /told of unhappy: failure failed as planned from Airflow/);
  });

  it("run sensors", () => assert.deepEqual(result.xcoms["look.return_value"], { found: "it" }));

  it("leave no process behind", async () => {
    const { stdout } = await execa("ps", ["-eo", "args"]);
    assert.doesNotMatch(stdout, new RegExp(folder));
  });
});

import assert from "node:assert/strict";
import { mkdtemp, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { execa } from "execa";

const root = fileURLToPath(new URL("../../", import.meta.url));
const example = (name: string) => path.join(root, "sdk/examples", name, `${name}.dag.ts`);
const airloom = (args: readonly string[], options: { cwd?: string; env?: Record<string, string> } = {}) =>
  execa(process.execPath, [path.join(root, "sdk/bin/airloom.mjs"), ...args], { cwd: root, reject: false, all: true, ...options });

describe("airloom run", () => {
  it("runs a DAG with live states and the conf's defaults, without Airflow", async () => {
    const { all, exitCode } = await airloom(["run", example("params")]);
    assert.equal(exitCode, 0, all);
    assert.match(all, /params \{"name":"world","times":3,"volume":"normal","languages":\["en"\]/);
    assert.match(all, /greet +running\n[^]*greet +success\nparams ended: success/);
  }).timeout(30_000);

  it("reads variables and connections as Airflow does, and shows what tasks log", async () => {
    const env = { AIRFLOW_VAR_CURRENCY: "CHF", AIRFLOW_CONN_BANK: "http://me:pw@bank.example:81/?token=t" };
    const { all, exitCode } = await airloom(["run", example("variables-and-connections")], { env });
    assert.equal(exitCode, 0, all);
    assert.match(all, /asking for rates \{"currency":"CHF","host":"bank.example"\}/);
  }).timeout(30_000);

  it("exits with 1 where a task fails, and refuses a conf that does not fit, naming what is wrong", async () => {
    const failed = await airloom(["run", example("operators")]);
    assert.equal(failed.exitCode, 1);
    assert.match(failed.all, /BashOperator runs only in Airflow: pass stubs/);
    const stubbed = await airloom(["run", example("human-in-the-loop"), "--stubs", '{"approve":1,"when":{"chosen_options":["Now"]},"note":null}']);
    assert.equal(stubbed.exitCode, 0, stubbed.all);
    assert.match(stubbed.all, /publish +success/);
    const wrong = await airloom(["run", example("params"), "--conf", '{"times": 99}']);
    assert.equal(wrong.exitCode, 1);
    assert.match(wrong.all, /the conf is wrong: times: 99 is greater than 10/);
    assert.match((await airloom(["run", example("params"), "--conf", "nope"])).all, /--conf is not JSON/);
  }).timeout(60_000);
});

describe("airloom graph", () => {
  it("draws in the terminal, with arms and rules", async () => {
    const { all } = await airloom(["graph", example("branch")]);
    assert.match(all, /● count {2}\[task\]/);
    assert.match(all, /└─● big_load {2}\[task\] {2}← size \(big\)/);
    assert.match(all, /sum {2}\[task, none_failed_min_one_success\] {2}← big_load, small_load/);
  }).timeout(30_000);

  it("draws an SVG with every task and every edge", async () => {
    const folder = await mkdtemp(path.join(tmpdir(), "graph-"));
    try {
      const file = path.join(folder, "g.svg");
      await airloom(["graph", example("branch"), "--svg", file]);
      const svg = await readFile(file, "utf8");
      assert.equal(svg.match(/<title>/g)?.length, 6);
      // count → size, size → three arms, two arms → sum.
      assert.equal(svg.match(/marker-end=/g)?.length, 6);
      assert.match(svg, /^<svg xmlns=/);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  }).timeout(30_000);
});

describe("airloom new", () => {
  it("makes a project that installs, passes its test, runs and compiles", async () => {
    const parent = await mkdtemp(path.join(tmpdir(), "new-"));
    try {
      const made = await airloom(["new", "my-pipelines"], { cwd: parent });
      assert.equal(made.exitCode, 0, made.all);
      const cwd = path.join(parent, "my-pipelines");
      const npm = (...args: string[]) => execa("npm", args, { cwd, reject: false, all: true });
      const installed = await npm("install", "--ignore-scripts", "--no-audit", "--no-fund");
      assert.equal(installed.exitCode, 0, installed.all);
      const tested = await npm("test");
      assert.equal(tested.exitCode, 0, tested.all);
      assert.match((await npm("start")).all, /^hello ended: success$/m);
      const compiled = await npm("run", "compile");
      assert.equal(compiled.exitCode, 0, compiled.all);
      assert.ok((await readdir(path.join(cwd, "generated-dags"))).includes("hello.py"));
      await writeFile(path.join(parent, "full"), "");
      assert.match((await airloom(["new", "."], { cwd })).all, /is not empty/);
    } finally {
      await rm(parent, { recursive: true, force: true });
    }
  }).timeout(180_000);
});

import assert from "node:assert/strict";
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { execa } from "execa";
import { waitFor } from "../../test/patience.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));
const command = path.join(root, "sdk/bin/compile-dags.mjs");

describe("the compile-dags command", () => {
  let folder: string;
  let source: string;
  // Beneath the project, so that the DAG finds its packages.
  beforeEach(async () => {
    await mkdir(path.join(root, ".airloom"), { recursive: true });
    folder = await mkdtemp(path.join(root, ".airloom/cli-"));
    source = path.join(folder, "x.dag.ts");
    await cp(path.join(root, "sdk/test/cases/results-and-templates/input.dag.ts"), source);
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));
  const out = () => path.join(folder, "out");
  const compile = (...args: string[]) => execa(process.execPath, [command, source, "--out", out(), ...args], { cwd: root, reject: false, all: true });

  it("writes, then has nothing to write; --check tells a file that was edited by hand, and changes nothing", async () => {
    const first = await compile();
    assert.equal(first.exitCode, 0);
    assert.match(first.all, /wrote .*results\.py/);
    assert.match((await compile()).all, /nothing changed/);
    assert.equal((await compile("--check")).exitCode, 0);
    await writeFile(path.join(out(), "results.py"), "# edited\n");
    const check = await compile("--check");
    assert.equal(check.exitCode, 1);
    assert.match(check.all, /results\.py is not what its source compiles to/);
    assert.equal(await readFile(path.join(out(), "results.py"), "utf8"), "# edited\n");
  }).timeout(60_000);

  it("writes nothing and exits with 1 where a DAG is wrong, or is not there", async () => {
    await writeFile(source, (await readFile(source, "utf8")).replace("30 2 ", "99 2 "));
    const wrong = await compile();
    assert.equal(wrong.exitCode, 1);
    assert.match(wrong.all, /x\.dag\.ts:9:16 {2}AL301 {2}schedule "99 2 /);
    await assert.rejects(readFile(path.join(out(), "results.py")));
    await rm(source);
    assert.match((await compile()).all, /x\.dag\.ts does not exist/);
  }).timeout(60_000);

  it("compiles again after a save with --watch, and goes on after a mistake", async () => {
    const watcher = execa(process.execPath, [command, source, "--out", out(), "--watch"], { cwd: root, reject: false, all: true, buffer: false });
    let output = "";
    watcher.all.on("data", (chunk: Buffer) => (output += chunk.toString()));
    const until = async (pattern: RegExp) => {
      const ended = () => watcher.exitCode !== null && assert.fail(`the watcher ended: ${output}`);
      await waitFor(() => pattern.test(output) || ended(), { what: `${pattern} in the watcher's output` });
      output = "";
    };
    const edit = async (from: string, to: string) => writeFile(source, (await readFile(source, "utf8")).replace(from, to));
    await until(/Watching/);
    await edit("retries: 1", "retries: 9");
    await until(/wrote .*results\.py[\s\S]*compiled/);
    assert.match(await readFile(path.join(out(), "results.py"), "utf8"), /"retries": 9/);
    await edit("30 2 ", "99 2 ");
    await until(/AL301/);
    await edit("99 2 ", "15 2 ");
    await until(/wrote .*results\.py[\s\S]*compiled/);
    watcher.kill();
    await watcher;
  }).timeout(90_000);
});

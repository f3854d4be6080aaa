import assert from "node:assert/strict";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { execa } from "execa";
import { compileDags } from "../src/compiler/compile.ts";
import { writeOutputs } from "../src/compiler/write.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));
const run = { dagId: "images", taskId: "train", runId: "r", tryNumber: 1, mapIndex: -1, logicalDate: null, dataIntervalStart: null, dataIntervalEnd: null };

describe("a task in an image", () => {
  let folder: string;
  before(async () => {
    folder = await mkdtemp(path.join(tmpdir(), "images-"));
    const { files, diagnostics } = await compileDags([path.join(root, "sdk/examples/images/images.dag.ts")], { root, outDir: folder });
    assert.deepEqual(diagnostics, []);
    await writeOutputs(folder, files);
  });
  after(() => rm(folder, { recursive: true, force: true }));
  /** What the operators of airloom_containers.py start in the image. */
  const start = (input: object, env: Record<string, string> = {}) =>
    execa(process.execPath, [path.join(folder, "images.mjs")], {
      env: {
        AIRLOOM_START: JSON.stringify({ type: "start", taskId: "train", kind: "task", input, run: { ...run, runType: "manual", conf: {}, params: {} } }),
        ...env,
      },
      extendEnv: false,
    });

  it("takes its input from the environment, and leaves its outcome on its output", async () => {
    const { stdout } = await start({ version: "v1" });
    assert.equal(stdout, 'AIRLOOM_OUTCOME {"type":"succeeded","value":{"model":"of v1"}}');
  }).timeout(10_000);

  it("leaves its outcome in a file where a pod wants it there, and says what is wrong with an input", async () => {
    const file = path.join(folder, "return.json");
    await start({ version: 3 }, { AIRLOOM_OUTCOME_FILE: file });
    const outcome = JSON.parse(await readFile(file, "utf8")) as { type: string; terminal: boolean; message: string };
    assert.deepEqual([outcome.type, outcome.terminal], ["failed", true]);
    assert.match(outcome.message, /the input of train is wrong: version: Instance type "number" is invalid/);
  }).timeout(10_000);
});

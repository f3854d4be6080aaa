import assert from "node:assert/strict";
import { fork } from "node:child_process";
import { once } from "node:events";
import { access, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { holdTrainingFolder, trainingFolderName } from "../train/hold-folder.ts";

const run = { dagId: "training_pipeline", runId: "manual__1", taskId: "train_model", mapIndex: -1, tryNumber: 1 };

describe("the folder of a training task", () => {
  let parent: string;
  beforeEach(async () => (parent = await mkdtemp(path.join(tmpdir(), "hold-folder-"))));
  afterEach(() => rm(parent, { recursive: true, force: true }));

  it("is another one for each DAG, run, task and map index, however alike their names are", () => {
    const alike = [
      run,
      { ...run, dagId: "nightly" },
      { ...run, taskId: "train_again" },
      { ...run, mapIndex: 0 },
      { ...run, mapIndex: 1 },
      { ...run, runId: "a/b" },
      { ...run, runId: "a_b" },
      { ...run, runId: "a+b" },
      { ...run, dagId: "training_pipeline__manual", runId: "1" },
      { ...run, runId: "x".repeat(250) },
      { ...run, runId: `${"x".repeat(249)}y` },
    ].map(trainingFolderName);
    assert.equal(new Set(alike).size, alike.length);
    for (const name of alike) assert.match(name, /^[\w.-]{12,200}$/);
    assert.match(trainingFolderName(run), /^training_pipeline__manual__1__train_model-[0-9a-f]{10}$/);
  });

  it("goes to the newer try once the older one has stopped, and never back", async () => {
    const first = await holdTrainingFolder(parent, run);
    const second = holdTrainingFolder(parent, { ...run, tryNumber: 2 });
    await once(first.lost, "abort");
    assert.match((first.lost.reason as Error).message, /try 2 of this task has taken over/);
    let isHeld = false;
    void second.then(() => (isHeld = true));
    await writeFile(path.join(first.folder, "state"), "saved by try 1");
    assert.equal(isHeld, false, "two tries had one folder");
    await first.release();
    const held = await second;
    await access(path.join(held.folder, "state"));
    await assert.rejects(holdTrainingFolder(parent, run), /try 2 of this task has taken over/);
    assert.equal(held.lost.aborted, false);
    await held.release();
  }).timeout(30_000);

  it("is free again when the process that held it was killed", async () => {
    const holder = fork(fileURLToPath(new URL("folder-holder.ts", import.meta.url)), [parent, JSON.stringify(run)], { execArgv: ["--import", "tsx"] });
    await once(holder, "message");
    holder.kill("SIGKILL");
    await once(holder, "exit");
    const next = await holdTrainingFolder(parent, { ...run, tryNumber: 2 });
    await access(path.join(next.folder, "begun"));
    await next.release();
  }).timeout(60_000);

  it("holds nothing of a run that was deleted and triggered again under its name", async () => {
    const first = await holdTrainingFolder(parent, run);
    await writeFile(path.join(first.folder, "finished"), "");
    await first.release();
    const again = await holdTrainingFolder(parent, run);
    assert.deepEqual((await readdir(again.folder)).toSorted(), ["lock", "try.json"]);
    await again.release();
  });
});

import assert from "node:assert/strict";
import { access, readFile, rm } from "node:fs/promises";
import path from "node:path";
import { TerminalError } from "airloom";
import { allClasses } from "@airloom/dataset-platform/registry/classes.ts";
import { relabelImages } from "@airloom/dataset-platform/registry/images.ts";
import { labelPath } from "@airloom/dataset-platform/store/layout.ts";
import { labelingRun, type LabelingPlace, openPlace } from "./labeling-place.ts";

describe("the labeling tasks, with a labeler and a registry", () => {
  let place: LabelingPlace;
  beforeEach(async () => (place = await openPlace()));
  afterEach(() => place.close());

  const runOf = (runId: string, options = {}) => labelingRun(place, { runId, ...options });
  const failed = { "labeling_pipeline/r1": "failed" } as const;
  const states = async () => (await place.registry.db.selectFrom("images").select("state").orderBy("sha256").execute()).map(({ state }) => state);
  const batchOf = (id: string) => place.registry.db.selectFrom("batches").selectAll().where("id", "=", id).executeTakeFirstOrThrow();
  const finish = async (taskId: number, boxes: readonly { frame: number; label: string }[]) => {
    const labels = new Map((await place.cvat.labelsOfTask(taskId)).map(({ id, name }) => [name, id]));
    await place.cvat.putBoxes(
      taskId,
      boxes.map(({ frame, label }) => ({ frame, labelId: labels.get(label)!, points: [20, 10, 60, 50] })),
    );
    for (const job of await place.cvat.jobs(taskId)) await place.cvat.completeJob(job.id);
  };

  it("go from pictures to annotations, and each of them again changes nothing", async () => {
    await place.add(2);
    const run = runOf("r1");
    const batch = await run.select();
    const task = await run.create(batch.id, ["car", "truck"]);
    assert.match(JSON.stringify(await run.wait(batch.id, task.id)), /1 of 1 jobs are open/);
    await finish(task.id, [{ frame: 0, label: "truck" }]);
    assert.deepEqual(await run.wait(batch.id, task.id), { taskId: task.id });
    const pulled = await run.pull(batch.id, task.id);
    assert.deepEqual(pulled, { images: 2, boxes: 1 });
    assert.deepEqual(await states(), ["labelled", "labelled"]);
    assert.deepEqual(await run.select("manual_upload", 100, { tryNumber: 2 }), batch);
    assert.deepEqual(await run.create(batch.id, ["car", "truck"]), task);
    assert.deepEqual(await run.pull(batch.id, task.id), pulled);
    assert.equal((await place.registry.db.selectFrom("annotations").selectAll().execute()).length, 2);
    // Ended after the transaction, and before the label files were written.
    const { name } = (await place.cvat.frames(task.id))[0]!;
    const file = path.join(place.storage.images, labelPath(name.split(".")[0]!));
    assert.equal(await readFile(file, "utf8"), "1 0.200000 0.300000 0.200000 0.400000\n");
    await rm(file);
    await run.pull(batch.id, task.id);
    await access(file);
  });

  it("gives the batch and the CVAT task of a run that failed to the next run", async () => {
    await place.add(3);
    const first = runOf("r1");
    const batch = await first.select();
    const task = await first.create(batch.id);
    await assert.rejects(runOf("r2", { runStates: { "labeling_pipeline/r1": "running" } }).select(), /there are no new images of source "manual_upload"/);
    const next = runOf("r2", { runStates: failed });
    assert.deepEqual(await next.select(), batch);
    assert.deepEqual(await next.create(batch.id), task);
    assert.match(next.lines.join("\n"), /run r1 of labeling_pipeline chose it, is over.*\/tasks\/1/);
    assert.match(next.lines.join("\n"), /task 1 is there already, and is gone on with/);
    // Whatever the first run still does, it has no batch any more.
    for (const work of [() => first.wait(batch.id, task.id), () => first.pull(batch.id, task.id), () => first.create(batch.id)])
      await assert.rejects(work(), (error: Error) => error instanceof TerminalError && /now belongs to run r2/.test(error.message));
  });

  it("makes another CVAT task where the failed run had asked for other labels, and leaves its task alone", async () => {
    await place.add(1);
    const first = runOf("r1");
    const batch = await first.select();
    const wrong = await first.create(batch.id, ["cra"]);
    const next = runOf("r2", { runStates: failed });
    await next.select();
    const right = await next.create(batch.id, ["car"]);
    assert.notEqual(right.id, wrong.id);
    assert.match(next.lines.join("\n"), /CVAT task 1 of this batch is used no more, because other labels were asked there: another is made/);
    assert.deepEqual([(await place.cvat.task(wrong.id)).name, (await place.cvat.task(right.id)).name], [`batch ${batch.id}`, `batch ${batch.id} (2)`]);
    const left = await place.registry.db.selectFrom("events").selectAll().where("kind", "=", "batch.task_left").execute();
    assert.deepEqual(
      left.map(({ detail }) => (detail as { cvatTask: number }).cvatTask),
      [wrong.id],
    );
    assert.deepEqual(await next.create(batch.id, ["car"]), right, "a retry made another one");
  });

  it("gives the pictures back where the CVAT task was deleted, while it waits or when it pulls", async () => {
    for (const step of ["wait", "pull"] as const) {
      await place.add(2, step);
      const run = runOf(`deleted-${step}`);
      const batch = await run.select(step);
      const task = await run.create(batch.id);
      await place.cvat.deleteTask(task.id);
      await assert.rejects(run[step](batch.id, task.id), (error: Error) => {
        assert.ok(error instanceof TerminalError);
        assert.match(error.message, /CVAT task \d+ of batch .* is gone.*Its 2 pictures wait to be labelled again: trigger the pipeline again/);
        return true;
      });
      assert.equal((await batchOf(batch.id)).state, "released");
      assert.equal((await runOf(`after-${step}`).select(step)).images, 2);
    }
  });

  it("makes one project, with all labels, for six runs at once", async () => {
    const runs = Array.from({ length: 6 }, (_, i) => ({ run: runOf(`r${i}`), source: `cam${i}`, label: ["car", "truck", "bus"][i % 3]! }));
    for (const { source } of runs) await place.add(1, source);
    await Promise.all(
      runs.map(async ({ run, source, label }) => {
        const batch = await run.select(source);
        await run.create(batch.id, [label], "Twice");
      }),
    );
    const [project, ...others] = await place.cvat.findProjects("Twice");
    assert.deepEqual(others, []);
    assert.deepEqual((await place.cvat.labels(project!)).map(({ name }) => name).toSorted(), ["bus", "car", "truck"]);
  });

  it("takes labels with blanks and in either form of their letters as one class, run after run", async () => {
    const given = [["car ", "cafe\u0301", "fire\u00a0truck"], ["car ", "caf\u00e9", "fire truck"], ["\tcar"]];
    for (const [i, labels] of given.entries()) {
      await place.add(1);
      const run = runOf(`r${i}`, { runStates: {} });
      const batch = await run.select();
      const task = await run.create(batch.id, labels, " P ");
      await finish(task.id, [{ frame: 0, label: "car" }]);
      await run.pull(batch.id, task.id);
    }
    assert.deepEqual(
      (await allClasses(place.registry.db)).map(({ name }) => name),
      ["car", "caf\u00e9", "fire truck"],
    );
    assert.equal((await place.cvat.findProjects("P")).length, 1);
  });

  it("makes one task where two tries of one run live at once, or one was ended half-way", async () => {
    await place.add(3);
    const run = runOf("r1");
    const batch = await run.select();
    const tries = await Promise.allSettled([run.create(batch.id), run.create(batch.id)]);
    for (const { reason } of tries.filter((each) => each.status === "rejected")) assert.ok(!(reason instanceof TerminalError), String(reason));
    const { id } = await run.create(batch.id);
    const project = (await place.cvat.findProjects("P"))[0]!;
    const named = async (name: string) => (await place.cvat.tryFindTask(project, name))?.id;
    assert.equal(await named(`batch ${batch.id}`), id);
    assert.equal((await batchOf(batch.id)).cvat_task_id, id);

    await place.add(2, "cam_b");
    const next = runOf("r2");
    const second = await next.select("cam_b");
    const half = await place.cvat.createTask(project, `batch ${second.id}`);
    const whole = await next.create(second.id);
    assert.equal(await place.cvat.tryTask(half), undefined);
    assert.equal((await place.cvat.frames(whole.id)).length, 2);
  });

  it("warns of labels that differ in case alone, and names the conf's key of one that cannot be", async () => {
    await place.add(1);
    const run = runOf("r1");
    const batch = await run.select();
    await assert.rejects(run.create(batch.id, []), /labels in the run's conf is empty/);
    await assert.rejects(
      run.create(batch.id, ["car", "  "]),
      (error: Error) => error instanceof TerminalError && /labels in the run's conf: "  " cannot be/.test(error.message),
    );
    await assert.rejects(run.create(batch.id, ["car"], " "), /cvat_project in the run's conf is empty/);
    await run.create(batch.id, ["car", "Car"]);
    assert.match(run.lines.join("\n"), /"car" and "Car" are two classes, and their names differ in case alone/);
  });

  it("draws the boxes that pictures have into the task when they are labelled again, and says when they are lost", async () => {
    const [sha256] = (await place.add(1)) as [string];
    const run = runOf("r1");
    const batch = await run.select();
    const task = await run.create(batch.id);
    await finish(task.id, [{ frame: 0, label: "car" }]);
    await run.pull(batch.id, task.id);
    await place.registry.transaction((trx) => relabelImages(trx, [sha256], { person: "tester" }));
    const again = runOf("r2");
    const second = await again.select();
    const redo = await again.create(second.id);
    assert.deepEqual(
      (await place.cvat.annotations(redo.id)).shapes.map(({ points, source }) => [source, ...points.map(Math.round)]),
      [["manual", 20, 10, 60, 50]],
    );
    assert.match(again.lines.join("\n"), /1 boxes of earlier annotations are drawn again/);
    await finish(redo.id, []);
    await again.pull(second.id, redo.id);
    assert.match(again.lines.join("\n"), new RegExp(`1 pictures lost all their boxes: ${sha256}`));
  });

  it("draws what a model saw once, and never over what people have done", async () => {
    const [sha256] = (await place.add(1)) as [string];
    const body = { sha256, model: { name: "m", version: "1" }, detections: [{ name: "car", confidence: 0.9, box: [0.1, 0.1, 0.3, 0.5] }] };
    await place.registry.db
      .insertInto("predictions")
      .values({ sha256, body: JSON.stringify(body) })
      .execute();
    const run = runOf("r1");
    const batch = await run.select();
    const task = await run.create(batch.id);
    assert.match(run.lines.join("\n"), /1 boxes that a model saw are drawn already/);
    assert.deepEqual(
      (await place.cvat.annotations(task.id)).shapes.map(({ source }) => source),
      ["auto"],
    );
    await finish(task.id, []);
    await run.pull(batch.id, task.id);
    // The run is cleared from here on: what was taken away stays away.
    await run.create(batch.id);
    assert.deepEqual(await run.pull(batch.id, task.id), { images: 1, boxes: 0 });
  });

  it("leaves out a picture that holds more than boxes, says how to mend it, and takes it once it is mended", async () => {
    await place.add(1);
    const run = runOf("r1");
    const batch = await run.select();
    const task = await run.create(batch.id);
    await finish(task.id, []);
    const [label] = await place.cvat.labelsOfTask(task.id);
    const { url } = place.cvat;
    const put = (type: string) =>
      fetch(`${url}/api/tasks/${task.id}/annotations`, {
        method: "PUT",
        headers: { Authorization: `Basic ${Buffer.from("admin:A LONG PASSWORD").toString("base64")}`, "Content-Type": "application/json" },
        body: JSON.stringify({ shapes: [{ type, frame: 0, label_id: label!.id, points: [1, 1, 20, 1, 20, 20] }] }),
      });
    await put("polyline");
    assert.deepEqual(await run.pull(batch.id, task.id), { images: 0, boxes: 0 });
    assert.match(run.lines.join("\n"), /holds a polyline "car", which cannot be made a box[^]*mend them in CVAT and clear this task/);
    assert.deepEqual(await states(), ["excluded"]);
    await put("polygon");
    assert.deepEqual(await run.pull(batch.id, task.id), { images: 1, boxes: 1 });
    assert.deepEqual(await states(), ["labelled"]);
  });
});

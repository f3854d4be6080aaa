import assert from "node:assert/strict";
import { storePull } from "@airloom/dataset-platform/registry/annotations.ts";
import { claimBatch } from "@airloom/dataset-platform/registry/batches.ts";
import { ensureClasses } from "@airloom/dataset-platform/registry/classes.ts";
import { recordModel } from "@airloom/dataset-platform/registry/models.ts";
import { beginVersion, finishVersion, uncommittedChanges } from "@airloom/dataset-platform/registry/versions.ts";
import { forget } from "@airloom/dataset-platform/trace/forget.ts";
import { NothingToTrace, tracePictures, trace } from "@airloom/dataset-platform/trace/trace.ts";
import { addImages, openTestRegistry, runKey, type TestRegistry } from "./registry/open-registry.ts";

const me = { person: "tester" };
const commits = ["a", "b", "c"].map((digit) => digit.repeat(40)) as [string, string, string];

describe("trace", () => {
  let test: TestRegistry;
  /** The pictures of the two batches. */
  let first: string[];
  let second: string[];

  /** Labels what waits of a source, and commits it. */
  async function label(source: string, commit: string, taskId: number): Promise<void> {
    const { registry } = test;
    const run = runKey(`label-${source}`);
    const { batch } = (await claimBatch(registry.db, { run, sourceId: source, size: 10, runAfter: "2026-01-01T00:00:00.000Z", isOver: async () => false }))!;
    const held = await registry.db.selectFrom("batch_images").select("sha256").where("batch_id", "=", batch.id).execute();
    await registry.transaction(async (trx) => {
      const asked = await ensureClasses(trx, ["car"], run);
      const annotated = held.map(({ sha256 }) => ({ sha256, boxes: [], annotator: "anna", cvatJobId: taskId * 10 }));
      await storePull(trx, { batchId: batch.id, asked, cvatUrl: "http://cvat", cvatTaskId: taskId, annotated, excluded: [] }, run);
    });
    await version(commit);
  }
  const version = async (commit: string) =>
    test.registry.transaction(async (trx) => {
      const id = await beginVersion(trx, { commit, parent: null, message: commit, changes: await uncommittedChanges(trx) }, runKey("commit"));
      await finishVersion(trx, id, runKey("commit"));
    });
  const model = (name: string, number: string, datasetCommit: string, sha256: string) =>
    test.registry.transaction((trx) =>
      recordModel(
        trx,
        { name, version: number, mlflowRun: `mlflow-${number}`, datasetCommit, files: { "best.onnx": sha256 } },
        runKey(`train-${number}`, "training_pipeline"),
      ),
    );

  beforeEach(async () => {
    test = await openTestRegistry();
    first = await addImages(test.registry, 3, "gate");
    await label("gate", commits[0], 7);
    second = await addImages(test.registry, 2, "yard");
    await label("yard", commits[1], 8);
    await model("Demo", "1", commits[0], "1".repeat(64));
    await model("Demo", "2", commits[1], "2".repeat(64));
  });
  afterEach(() => test.close());

  it("goes from a prediction to model, runs, dataset, annotators and source files", async () => {
    const traced = await trace(test.registry.db, `${"2".repeat(16)}.0b7f0c1e-0000-4000-8000-000000000000`);
    assert.equal(traced.kind, "model");
    if (traced.kind !== "model") return;
    const [{ model: found, dataset } = assert.fail()] = traced.models;
    assert.deepEqual([found.name, found.version, found.mlflow_run, found.dag_id, found.run_id], ["Demo", "2", "mlflow-2", "training_pipeline", "train-2"]);
    assert.deepEqual([dataset!.version.commit, dataset!.version.images], [commits[1], 5]);
    assert.deepEqual(dataset!.sources, [
      { source: "gate", licence: null, pictures: 3 },
      { source: "yard", licence: null, pictures: 2 },
    ]);
    assert.deepEqual(dataset!.annotators, [
      { annotator: "anna", cvatTaskId: 7, cvatJobId: 70, pictures: 3 },
      { annotator: "anna", cvatTaskId: 8, cvatJobId: 80, pictures: 2 },
    ]);
    const pictures = await tracePictures(test.registry.db, dataset!.version.id);
    assert.deepEqual(
      pictures.map(({ sha256 }) => sha256),
      [...first, ...second].toSorted(),
    );
    assert.match(pictures[0]!.originalName, /\.jpg$/);
  });

  it("takes a model's name and version, a model's hash and a commit, or their beginnings", async () => {
    for (const what of ["Demo@1", "1".repeat(64), "1".repeat(8)]) {
      const traced = await trace(test.registry.db, what);
      assert.deepEqual(traced.kind === "model" && traced.models.map(({ dataset }) => dataset?.version.commit), [commits[0]]);
    }
    const traced = await trace(test.registry.db, commits[1].slice(0, 12));
    assert.deepEqual(traced.kind === "version" && traced.models.map(({ version: number }) => number), ["2"]);
    await assert.rejects(trace(test.registry.db, "f".repeat(40)), NothingToTrace);
    await assert.rejects(trace(test.registry.db, "'; drop table images; --"), NothingToTrace);
  });

  it("goes from a picture to the versions and models that hold it, and not to those that it had left", async () => {
    const { sha256 } = await test.registry.db.selectFrom("images").select("sha256").where("sha256", "=", first[0]!).executeTakeFirstOrThrow();
    await forget(test.registry, { sha256 }, "consent withdrawn", me);
    await version(commits[2]);
    await model("Demo", "3", commits[2], "3".repeat(64));
    const traced = await trace(test.registry.db, sha256);
    assert.equal(traced.kind, "image");
    if (traced.kind !== "image") return;
    assert.deepEqual([traced.image.state, traced.image.stateWhy, traced.image.source], ["excluded", "forgotten: consent withdrawn", "gate"]);
    assert.deepEqual(
      traced.versions.map(({ commit }) => commit),
      commits.slice(0, 2),
    );
    assert.deepEqual(
      traced.models.map(({ version: number }) => number),
      ["1", "2"],
    );
    assert.deepEqual(
      traced.revisions.map(({ annotator, cvatTaskId, boxes }) => [annotator, cvatTaskId, boxes]),
      [["anna", 7, 0]],
    );
  });

  it("forgets a source: names what holds it, and the next version is without it", async () => {
    const forgotten = await forget(test.registry, { source: "yard" }, "licence ended", me);
    assert.deepEqual(forgotten.images.toSorted(), second.toSorted());
    assert.deepEqual(
      forgotten.versions.map(({ commit }) => commit),
      [commits[1]],
    );
    assert.deepEqual(
      forgotten.models.map(({ version: number }) => number),
      ["2"],
    );
    assert.deepEqual(
      (await uncommittedChanges(test.registry.db)).map(({ sha256, annotation }) => [sha256, annotation]),
      second.toSorted().map((sha256) => [sha256, null]),
    );
    await assert.rejects(forget(test.registry, { source: "nowhere" }, "x", me), NothingToTrace);
  });
});

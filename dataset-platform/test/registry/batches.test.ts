import assert from "node:assert/strict";
import { storePull } from "@airloom/dataset-platform/registry/annotations.ts";
import { BatchGone, claimBatch, type ClaimOptions, imagesOfBatch, releaseBatch } from "@airloom/dataset-platform/registry/batches.ts";
import { ensureClasses } from "@airloom/dataset-platform/registry/classes.ts";
import { relabelImages, restoreImages, excludeImages } from "@airloom/dataset-platform/registry/images.ts";
import { addImages, openTestRegistry, runKey, type TestRegistry } from "./open-registry.ts";

const me = { person: "tester" };

describe("batches", () => {
  let test: TestRegistry;
  beforeEach(async () => (test = await openTestRegistry()));
  afterEach(() => test.close());

  const claim = (runId: string, options: Partial<ClaimOptions> = {}) =>
    claimBatch(test.registry.db, {
      run: runKey(runId),
      sourceId: "manual_upload",
      size: 10,
      runAfter: "2026-01-01T00:00:00.000Z",
      isOver: async () => false,
      ...options,
    });
  const statesOf = async () => (await test.registry.db.selectFrom("images").select("state").orderBy("sha256").execute()).map(({ state }) => state);

  it("gives pictures to one run each, however many claim at once", async () => {
    const all = await addImages(test.registry, 40);
    const others = await Promise.all([test.again(), test.again(), test.again()]);
    const registries = [test.registry, ...others];
    const claims = await Promise.all(
      Array.from({ length: 8 }, (_, i) =>
        claimBatch(registries[i % 4]!.db, {
          run: runKey(`r${i}`),
          sourceId: "manual_upload",
          size: 7,
          runAfter: "2026-01-01T00:00:00.000Z",
          isOver: async () => false,
        }),
      ),
    );
    const given = (await Promise.all(claims.flatMap((each) => (each ? [imagesOfBatch(test.registry.db, each.batch.id)] : []))))
      .flat()
      .map(({ sha256 }) => sha256);
    assert.equal(new Set(given).size, given.length, "a picture was given twice");
    // A run that met only rows that others were choosing may have found none; whoever comes next gets what is left.
    const rest = await claim("last", { size: 1000 });
    const left = rest ? (await imagesOfBatch(test.registry.db, rest.batch.id)).map(({ sha256 }) => sha256) : [];
    assert.deepEqual([...given, ...left].toSorted(), all.toSorted());
  });

  it("gives the oldest first, and a retry, or a try that lives at the same time, its own batch again", async () => {
    const [first, second, third] = await addImages(test.registry, 3);
    const [one, two] = await Promise.all([claim("r", { size: 2 }), claim("r", { size: 2 })]);
    assert.equal(one!.batch.id, two!.batch.id);
    assert.deepEqual((await imagesOfBatch(test.registry.db, one!.batch.id)).map(({ sha256 }) => sha256).toSorted(), [first, second].toSorted());
    assert.equal((await claim("r"))!.how, "own");
    assert.deepEqual(
      (await imagesOfBatch(test.registry.db, (await claim("other"))!.batch.id)).map(({ sha256 }) => sha256),
      [third],
    );
  });

  it("keeps apart runs of one name in two DAGs, two tasks of a run, and mapped instances", async () => {
    await addImages(test.registry, 2, "cam_a");
    await addImages(test.registry, 2, "cam_b");
    const a = await claim("scheduled__1", { run: runKey("scheduled__1", "dag_a"), sourceId: "cam_a", size: 1 });
    const b = await claim("scheduled__1", { run: runKey("scheduled__1", "dag_b"), sourceId: "cam_b", size: 1 });
    const mapped = await claim("scheduled__1", { run: { ...runKey("scheduled__1", "dag_a"), mapIndex: 1 }, sourceId: "cam_a", size: 1 });
    const task = await claim("scheduled__1", { run: { ...runKey("scheduled__1", "dag_b"), taskId: "select_more" }, sourceId: "cam_b", size: 1 });
    assert.equal(new Set([a, b, mapped, task].map((each) => each!.batch.id)).size, 4);
    assert.deepEqual(
      [a, b, mapped, task].map((each) => each!.batch.source_id),
      ["cam_a", "cam_b", "cam_a", "cam_b"],
    );
  });

  it("adopts the batch of a run that is over, once, and tells the first run so", async () => {
    await addImages(test.registry, 4);
    const lost = await claim("failed");
    assert.equal(await claim("waiting"), undefined, "the run still lives");
    const isOver: ClaimOptions["isOver"] = async (run) => run.runId === "failed";
    const claims = await Promise.all(["next", "next-too"].map((runId) => claim(runId, { isOver })));
    const adopted = claims.filter((each) => each !== undefined);
    assert.deepEqual(
      adopted.map(({ how, batch }) => [how, batch.id]),
      [["adopted", lost!.batch.id]],
    );
    const pull = { batchId: lost!.batch.id, asked: [], cvatUrl: "http://cvat", cvatTaskId: 1, annotated: [], excluded: [] };
    await assert.rejects(
      test.registry.transaction((trx) => storePull(trx, pull, runKey("failed"))),
      BatchGone,
    );
  });

  it("gives pictures back, and another run gets them", async () => {
    const all = await addImages(test.registry, 4);
    const first = await claim("r1");
    assert.equal(await releaseBatch(test.registry.db, first!.batch.id, "its task is gone", me), 4);
    assert.equal(await releaseBatch(test.registry.db, first!.batch.id, "again", me), 0);
    assert.deepEqual(await statesOf(), ["new", "new", "new", "new"]);
    const second = await claim("r2");
    assert.deepEqual(
      (await imagesOfBatch(test.registry.db, second!.batch.id)).map(({ sha256 }) => sha256),
      all.toSorted(),
    );
    // The first run, tried again, has no batch any more: it gets a new one where there are pictures.
    assert.equal(await claim("r1"), undefined);
  });

  it("stores what came of a whole batch or nothing, and the same again changes nothing", async () => {
    const [a, b, c] = (await addImages(test.registry, 3)).toSorted() as [string, string, string];
    const { batch } = (await claim("r"))!;
    const asked = await test.registry.transaction((trx) => ensureClasses(trx, ["car", "truck"], me));
    const box = { classId: asked[1]!, xywh: [0.5, 0.5, 0.25, 0.25] as const, how: "drawn" as const };
    const pull = {
      batchId: batch.id,
      asked,
      cvatUrl: "http://cvat",
      cvatTaskId: 7,
      annotated: [
        { sha256: a, boxes: [box], annotator: "anna", cvatJobId: 1 },
        { sha256: b, boxes: [], annotator: "anna", cvatJobId: 1 },
      ],
      excluded: [{ sha256: c, why: "deleted in CVAT" }],
    };
    const store = (what: typeof pull) => test.registry.transaction((trx) => storePull(trx, what, runKey("r")));
    await assert.rejects(store({ ...pull, excluded: [] }), /nothing is said of 1 pictures/);
    await assert.rejects(store({ ...pull, annotated: [...pull.annotated, { ...pull.annotated[0]!, sha256: "f".repeat(64) }] }), /does not hold/);
    await assert.rejects(store({ ...pull, asked: [asked[0]!] }), /nobody was asked to mark/);
    assert.deepEqual(await statesOf(), ["claimed", "claimed", "claimed"]);
    assert.deepEqual(await store(pull), { images: 2, boxes: 1, changed: 2, excluded: 1 });
    assert.deepEqual(await statesOf(), ["labelled", "labelled", "excluded"]);
    assert.deepEqual(await store(pull), { images: 2, boxes: 1, changed: 0, excluded: 1 });
    // A run that was cleared keeps its batch; one that was deleted and triggered again under its name gets another.
    assert.equal((await claim("r"))!.batch.id, batch.id);
    await addImages(test.registry, 1);
    const again = (await claim("r", { runAfter: "2026-01-02T00:00:00.000Z" }))!;
    assert.deepEqual([again.how, again.batch.id === batch.id], ["new", false]);
  });

  it("gives a run that was deleted and triggered again under its name what the deleted one had left open", async () => {
    await addImages(test.registry, 3);
    const first = (await claim("r"))!;
    // Airflow says of the name that its run lives: it is this one.
    const second = (await claim("r", { runAfter: "2026-01-02T00:00:00.000Z" }))!;
    assert.deepEqual([second.how, second.batch.id], ["adopted", first.batch.id]);
    assert.equal((await claim("r", { runAfter: "2026-01-02T00:00:00.000Z" }))!.how, "own");
  });

  it("has a way back out of every state", async () => {
    const [a] = (await addImages(test.registry, 1)) as [string];
    const { batch } = (await claim("r"))!;
    await test.registry.transaction((trx) => excludeImages(trx, [a], "blurred", me));
    assert.deepEqual(await statesOf(), ["excluded"]);
    await test.registry.transaction((trx) => restoreImages(trx, [a], me));
    assert.deepEqual(await statesOf(), ["new"]);
    await releaseBatch(test.registry.db, batch.id, "empty", me);
    const second = (await claim("s"))!.batch;
    const asked = await test.registry.transaction((trx) => ensureClasses(trx, ["car"], me));
    const annotated = [{ sha256: a, boxes: [], annotator: null, cvatJobId: null }];
    await test.registry.transaction((trx) => storePull(trx, { batchId: second.id, asked, cvatUrl: "u", cvatTaskId: 1, annotated, excluded: [] }, runKey("s")));
    assert.deepEqual(await statesOf(), ["labelled"]);
    await test.registry.transaction((trx) => excludeImages(trx, [a], "blurred", me));
    await test.registry.transaction((trx) => restoreImages(trx, [a], me));
    assert.deepEqual(await statesOf(), ["labelled"]);
    await test.registry.transaction((trx) => relabelImages(trx, [a], me));
    assert.equal((await imagesOfBatch(test.registry.db, (await claim("t"))!.batch.id))[0]!.sha256, a);
  });
});

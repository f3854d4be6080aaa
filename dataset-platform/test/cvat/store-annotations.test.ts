import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import path from "node:path";
import type { FinishedTask, NamedBox } from "@airloom/dataset-platform/cvat/finished-task.ts";
import { OtherPictures, storeAnnotations } from "@airloom/dataset-platform/cvat/store-annotations.ts";
import { boxesOf } from "@airloom/dataset-platform/registry/annotations.ts";
import { claimBatch, imagesOfBatch, setLabelingTask } from "@airloom/dataset-platform/registry/batches.ts";
import { allClasses, ensureClasses } from "@airloom/dataset-platform/registry/classes.ts";
import { excludeImages, relabelImages, restoreImages } from "@airloom/dataset-platform/registry/images.ts";
import type { Registry } from "@airloom/dataset-platform/registry/registry.ts";
import { writeLabelFiles } from "@airloom/dataset-platform/store/label-files.ts";
import { labelPath } from "@airloom/dataset-platform/store/layout.ts";
import { addImages, openTestRegistry, runKey, type TestRegistry } from "../registry/open-registry.ts";

const me = { person: "tester" };
type Said = readonly NamedBox[] | string;

const box = (label: string, x = 0.5): NamedBox => ({ label, xywh: [x, 0.5, 0.25, 0.25], how: "drawn" });
/** A task whose frames say what is given: boxes, or why they cannot be taken. */
const taskOf = (labels: readonly string[], said: Readonly<Record<string, Said>>): FinishedTask => ({
  labels,
  frames: Object.entries(said).map(([sha256, what]) => {
    const who = { name: `${sha256}.jpg`, annotator: "anna", jobId: 3 };
    return typeof what === "string" ? { ...who, kind: "unusable", why: what } : { ...who, kind: "annotated", boxes: what };
  }),
});

describe("storing what people annotated", () => {
  let test: TestRegistry;
  beforeEach(async () => (test = await openTestRegistry()));
  afterEach(() => test.close());

  const claim = async (runId: string, asked: readonly string[]) => {
    const found = await claimBatch(test.registry.db, {
      run: runKey(runId),
      sourceId: "manual_upload",
      size: 100,
      runAfter: "2026-01-01T00:00:00.000Z",
      isOver: async () => false,
    });
    const { id } = found!.batch;
    await test.registry.transaction(async (trx) => {
      const ids = await ensureClasses(trx, asked, me);
      await setLabelingTask(trx, id, { project: "P", asked: ids, cvatUrl: "http://cvat", cvatTaskId: 1 }, me);
    });
    return id;
  };
  const store = (batchId: string, runId: string, task: FinishedTask, registry: Registry = test.registry) =>
    registry.transaction((trx) => storeAnnotations(trx, { batchId, cvatUrl: "http://cvat", taskId: 1, task, run: runKey(runId) }));
  const pictureOf = async (sha256: string) => test.registry.db.selectFrom("images").selectAll().where("sha256", "=", sha256).executeTakeFirstOrThrow();
  const annotationOf = async (sha256: string) => {
    const { annotation_id } = await pictureOf(sha256);
    const row = await test.registry.db.selectFrom("annotations").selectAll().where("id", "=", annotation_id!).executeTakeFirstOrThrow();
    return { ...row, boxes: (await boxesOf(test.registry.db, [row.id])).get(row.id)! };
  };
  const numberOf = async (name: string) => (await allClasses(test.registry.db)).find((each) => each.name === name)!.id;
  const eventsOf = async (kind: string) => test.registry.db.selectFrom("events").selectAll().where("kind", "=", kind).execute();

  it("stores all of a batch or nothing where the pictures are others, and names them", async () => {
    const [a, b] = (await addImages(test.registry, 2)) as [string, string];
    const id = await claim("r", ["car"]);
    const strange = "f".repeat(64);
    await assert.rejects(store(id, "r", taskOf(["car"], { [a]: [box("car")], [strange]: [] })), (error: Error) => {
      assert.ok(error instanceof OtherPictures);
      assert.match(error.message, new RegExp(`1 pictures that the batch has not: ${strange}.*lacks 1 pictures of the batch: ${b}`));
      return true;
    });
    assert.deepEqual([(await pictureOf(a)).state, (await pictureOf(a)).annotation_id], ["claimed", null]);
  });

  it("excludes a picture that cannot be taken, and the same pull brings it back once it can", async () => {
    const [a, b] = (await addImages(test.registry, 2)) as [string, string];
    const id = await claim("r", ["car"]);
    const why = "frame 0 holds a polyline";
    const first = await store(id, "r", taskOf(["car"], { [a]: why, [b]: [] }));
    assert.deepEqual(first.unusable, [{ sha256: a, why }]);
    assert.deepEqual([(await pictureOf(a)).state, (await pictureOf(a)).state_why], ["excluded", why]);
    assert.equal((await store(id, "r", taskOf(["car"], { [a]: why, [b]: [] }))).changed, 0);
    assert.equal((await eventsOf("image.excluded")).length, 1, "the same again wrote another event");
    await store(id, "r", taskOf(["car"], { [a]: [box("car")], [b]: [] }));
    assert.deepEqual([(await pictureOf(a)).state, (await annotationOf(a)).boxes.length], ["labelled", 1]);
  });

  it("does not bring back what a person excluded, nor takes a picture from another batch", async () => {
    const [a, b] = (await addImages(test.registry, 2)) as [string, string];
    const id = await claim("r", ["car"]);
    await store(id, "r", taskOf(["car"], { [a]: [], [b]: "a polyline" }));
    await test.registry.transaction((trx) => excludeImages(trx, [a], "blurred", me));
    await test.registry.transaction((trx) => restoreImages(trx, [b], me));
    const second = await claim("s", ["car"]);
    await store(id, "r", taskOf(["car"], { [a]: [box("car")], [b]: "a polyline" }));
    assert.equal((await pictureOf(a)).state_why, "blurred");
    assert.deepEqual([(await pictureOf(b)).state, (await pictureOf(b)).batch_id], ["claimed", second]);
  });

  it("keeps boxes of classes that a later task did not ask for, and what was asked of each picture", async () => {
    const [a] = (await addImages(test.registry, 1)) as [string];
    const first = await claim("r", ["car", "truck"]);
    await store(first, "r", taskOf(["car", "truck"], { [a]: [box("car"), box("truck", 0.25)] }));
    await test.registry.transaction((trx) => relabelImages(trx, [a], me));
    const second = await claim("s", ["person", "car"]);
    const report = await store(second, "s", taskOf(["person", "car"], { [a]: [box("person", 0.75)] }));
    const [car, truck, person] = await Promise.all(["car", "truck", "person"].map(numberOf));
    const now = await annotationOf(a);
    assert.deepEqual(
      now.boxes.map(({ classId }) => classId),
      [person, truck],
      "the person took the car away, and could not see the truck",
    );
    assert.deepEqual(now.asked, [car!, truck!, person!].toSorted());
    assert.equal(report.kept, 1);
    assert.equal((await store(second, "s", taskOf(["person", "car"], { [a]: [box("person", 0.75)] }))).changed, 0);
  });

  it("lets an earlier batch that says the same again change nothing of what a later one said", async () => {
    const [a] = (await addImages(test.registry, 1)) as [string];
    const first = await claim("r", ["car"]);
    const said = taskOf(["car"], { [a]: [box("car")] });
    await store(first, "r", said);
    await test.registry.transaction((trx) => relabelImages(trx, [a], me));
    const second = await claim("s", ["car"]);
    await store(second, "s", taskOf(["car"], { [a]: [box("car", 0.25), box("car", 0.75)] }));
    assert.equal((await store(first, "r", said)).changed, 0);
    assert.equal((await annotationOf(a)).boxes.length, 2);
    // What a person changed in the earlier task since then is newer than all.
    assert.equal((await store(first, "r", taskOf(["car"], { [a]: [box("car", 0.3)] }))).changed, 1);
    assert.equal((await annotationOf(a)).boxes.length, 1);
  });

  it("asks of a picture a label that came later only where it is drawn, and says that labels changed", async () => {
    const [a, b] = (await addImages(test.registry, 2)) as [string, string];
    const id = await claim("r", ["car", "bus"]);
    const report = await store(id, "r", taskOf(["car", "van"], { [a]: [box("van")], [b]: [] }));
    const [car, van] = await Promise.all(["car", "van"].map(numberOf));
    assert.deepEqual([(await annotationOf(a)).asked, (await annotationOf(b)).asked], [[car, van], [car]]);
    assert.deepEqual([report.newLabels, report.goneLabels], [["van"], ["bus"]]);
  });

  it("says so, and writes it down, where a picture loses all its boxes", async () => {
    const [a, b] = (await addImages(test.registry, 2)) as [string, string];
    const first = await claim("r", ["car"]);
    await store(first, "r", taskOf(["car"], { [a]: [box("car")], [b]: [] }));
    await test.registry.transaction((trx) => relabelImages(trx, [a, b], me));
    const second = await claim("s", ["car"]);
    const report = await store(second, "s", taskOf(["car"], { [a]: [], [b]: [] }));
    assert.deepEqual(report.emptied, [a]);
    assert.deepEqual(
      (await eventsOf("image.emptied")).map(({ subject, detail }) => [subject, detail]),
      [[a, { batch: second, cvatTask: 1, boxesBefore: 1 }]],
    );
  });

  it("numbers each class once, however many pulls run at once", async () => {
    for (let i = 0; i < 6; i++) await addImages(test.registry, 1, `source${i}`);
    const others = await Promise.all([test.again(), test.again()]);
    const registries = [test.registry, ...others];
    const batches = [];
    for (let i = 0; i < 6; i++) {
      const found = await claimBatch(test.registry.db, {
        run: runKey(`r${i}`),
        sourceId: `source${i}`,
        size: 9,
        runAfter: "2026-01-01T00:00:00.000Z",
        isOver: async () => false,
      });
      batches.push({
        id: found!.batch.id,
        sha256: (await imagesOfBatch(test.registry.db, found!.batch.id))[0]!.sha256,
        label: ["truck", "dog", "person"][i % 3]!,
      });
    }
    await Promise.all(batches.map(({ id, sha256, label }, i) => store(id, `r${i}`, taskOf(["car", label], { [sha256]: [box(label)] }), registries[i % 3])));
    const classes = await allClasses(test.registry.db);
    assert.deepEqual(classes.map(({ name }) => name).toSorted(), ["car", "dog", "person", "truck"]);
    for (const { sha256, label } of batches) assert.equal((await annotationOf(sha256)).boxes[0]!.classId, await numberOf(label));
  });

  it("makes the label files what the registry says", async () => {
    const [a, b] = (await addImages(test.registry, 2)) as [string, string];
    const id = await claim("r", ["car"]);
    await store(id, "r", taskOf(["car"], { [a]: [box("car")], [b]: [] }));
    await writeLabelFiles(test.registry.db, test.storage, [a, b]);
    const textOf = (sha256: string) => readFile(path.join(test.storage.images, labelPath(sha256)), "utf8");
    assert.deepEqual([await textOf(a), await textOf(b)], ["0 0.500000 0.500000 0.250000 0.250000\n", ""]);
    await test.registry.transaction((trx) => excludeImages(trx, [a], "blurred", me));
    await writeLabelFiles(test.registry.db, test.storage, [a, b]);
    await assert.rejects(textOf(a), /ENOENT/);
    assert.equal(await textOf(b), "");
  });
});

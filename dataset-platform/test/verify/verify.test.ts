import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { appendFile, chmod, mkdir, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { sql } from "kysely";
import { boxesOf, labelOf, storePull } from "@airloom/dataset-platform/registry/annotations.ts";
import { claimBatch } from "@airloom/dataset-platform/registry/batches.ts";
import { ensureClasses } from "@airloom/dataset-platform/registry/classes.ts";
import { addImage } from "@airloom/dataset-platform/registry/images.ts";
import { beginVersion, finishVersion, uncommittedChanges } from "@airloom/dataset-platform/registry/versions.ts";
import { imagePath, labelPath } from "@airloom/dataset-platform/store/layout.ts";
import { problemsOfFiles } from "@airloom/dataset-platform/verify/files.ts";
import type { Problem } from "@airloom/dataset-platform/verify/problem.ts";
import { problemsOfRows } from "@airloom/dataset-platform/verify/rows.ts";
import { inventImage, openTestRegistry, runKey, type TestRegistry } from "../registry/open-registry.ts";

const run = runKey("r");

/** Five labelled and committed pictures, one of them empty, and three that wait; bytes and label files are there. */
async function soundStorage(test: TestRegistry): Promise<string[]> {
  const { registry, storage } = test;
  const sha256s: string[] = [];
  for (let i = 0; i < 8; i++) {
    const bytes = Buffer.from(`picture ${i}`);
    const sha256 = createHash("sha256").update(bytes).digest("hex");
    const file = path.join(storage.images, imagePath(sha256, "jpg"));
    await mkdir(path.dirname(file), { recursive: true });
    await writeFile(file, bytes);
    const md5 = createHash("md5").update(bytes).digest("hex");
    await registry.transaction((trx) => addImage(trx, { ...inventImage(), sha256, md5, bytes: bytes.length }, run));
    sha256s.push(sha256);
  }
  const { batch } = (await claimBatch(registry.db, {
    run,
    sourceId: "manual_upload",
    size: 5,
    runAfter: "2026-01-01T00:00:00.000Z",
    isOver: async () => false,
  }))!;
  const held = (await registry.db.selectFrom("batch_images").select("sha256").orderBy("sha256").execute()).map(({ sha256 }) => sha256);
  await registry.transaction(async (trx) => {
    const asked = await ensureClasses(trx, ["car", "truck"], run);
    const annotated = held.map((sha256, i) => ({
      sha256,
      annotator: "anna",
      cvatJobId: 1,
      boxes: i === 0 ? [] : [{ classId: asked[i % 2]!, xywh: [0.5, 0.5, 0.1 * i, 0.2] as const, how: "drawn" as const }],
    }));
    await storePull(trx, { batchId: batch.id, asked, cvatUrl: "http://cvat", cvatTaskId: 1, annotated, excluded: [] }, run);
  });
  await registry.transaction(async (trx) => {
    const changes = await uncommittedChanges(trx);
    const id = await beginVersion(trx, { commit: "a".repeat(40), parent: null, message: "one", changes }, run);
    await finishVersion(trx, id, run);
    const boxes = await boxesOf(
      trx,
      changes.map(({ annotation }) => annotation!.id),
    );
    for (const { sha256, annotation } of changes) await writeFile(path.join(storage.images, labelPath(sha256)), labelOf(boxes.get(annotation!.id)!).text);
  });
  return held;
}

describe("the invariant checker", () => {
  let test: TestRegistry;
  let held: string[];
  before(async function () {
    test = await openTestRegistry();
  });
  after(() => test.close());

  const problems = async (deep = false): Promise<Problem[]> => {
    const found: Problem[] = [];
    for await (const problem of problemsOfRows(test.registry.db)) found.push(problem);
    for await (const problem of problemsOfFiles(test.registry.db, test.storage, { deep })) found.push(problem);
    return found;
  };
  /** Changes rows as no program could: without constraints' triggers and foreign keys. */
  const plant = async (statement: ReturnType<typeof sql>) =>
    test.registry.db.connection().execute(async (db) => {
      await sql`set session_replication_role = replica`.execute(db);
      await statement.execute(db);
      await sql`set session_replication_role = origin`.execute(db);
    });

  beforeEach(async () => {
    await test.close();
    test = await openTestRegistry();
    held = await soundStorage(test);
  });

  it("finds nothing in a sound storage", async () => {
    assert.deepEqual(await problems(true), []);
  });

  const rowFaults: Record<string, { fault: () => ReturnType<typeof sql>; rule: string }> = {
    "a claim of a batch that has ended": {
      fault: () => sql`update images set state = 'claimed', batch_id = (select id from batches) where sha256 = ${held[0]}`,
      rule: "claims-are-open",
    },
    "an annotation that is not the newest": {
      fault: () => sql`insert into annotations (sha256, revision, asked, origin, label_md5, label_bytes) values (${held[0]}, 2, '{0}', 'cvat', md5(''), 0)`,
      rule: "newest-annotation",
    },
    "a revision that is missing": {
      fault: () => sql`update annotations set revision = 3 where sha256 = ${held[1]}`,
      rule: "newest-annotation",
    },
    "a number that no class has": { fault: () => sql`update classes set id = 7 where name = 'truck'`, rule: "classes-are-dense" },
    "a box of a class that nobody asked for": {
      fault: () => sql`update annotations set asked = '{9}' where sha256 = ${held[1]}`,
      rule: "boxes-were-asked",
    },
    "a box that was moved": { fault: () => sql`update boxes set cx = 0.25 where position = 0`, rule: "labels-match-boxes" },
    "a group within a group": {
      fault: () => sql`update images set group_id = case sha256 when ${held[0]} then ${held[1]} when ${held[1]} then ${held[2]} else group_id end`,
      rule: "groups-have-a-founder",
    },
    "a version that is not ended": { fault: () => sql`update versions set state = 'writing'`, rule: "no-version-half-written" },
    "a committed annotation that no version holds": {
      fault: () => sql`delete from version_changes where sha256 = ${held[2]}`,
      rule: "versions-match-rows",
    },
  };
  for (const [name, { fault, rule }] of Object.entries(rowFaults))
    it(`finds ${name}`, async () => {
      await plant(fault());
      const found = await problems();
      assert.ok(
        found.some((problem) => problem.rule === rule),
        `found ${JSON.stringify(found)}`,
      );
    });

  const imageFile = (sha256: string) => path.join(test.storage.images, imagePath(sha256, "jpg"));
  const labelFile = (sha256: string) => path.join(test.storage.images, labelPath(sha256));
  const fileFaults: Record<string, { fault: () => Promise<unknown>; rule: string; deep?: boolean }> = {
    "bytes that are gone": { fault: () => rm(imageFile(held[0]!)), rule: "bytes-of-every-row" },
    "bytes that are cut": { fault: () => writeFile(imageFile(held[0]!), "pic"), rule: "bytes-are-whole" },
    "bytes that are others, of the same size": { fault: () => writeFile(imageFile(held[0]!), "PICTURE 0"), rule: "bytes-are-whole", deep: true },
    "a picture without a row": { fault: () => writeFile(imageFile(held[0]!).replace(/\w{8}\.jpg$/, "00000000.jpg"), "x"), rule: "row-of-all-bytes" },
    "a stray file in images/": { fault: () => writeFile(path.join(test.storage.images, "stray.jpg"), "x"), rule: "row-of-all-bytes" },
    "a label file that is gone": { fault: () => rm(labelFile(held[1]!)), rule: "label-files-match" },
    "a label file that a person has edited": { fault: () => appendFile(labelFile(held[1]!), "0 0.5 0.5 1 1\n"), rule: "label-files-match" },
    "a label that was blanked": { fault: () => writeFile(labelFile(held[1]!), ""), rule: "label-files-match" },
  };
  for (const [name, { fault, rule, deep }] of Object.entries(fileFaults))
    it(`finds ${name}`, async () => {
      for (const sha256 of held) await chmod(imageFile(sha256), 0o644);
      await fault();
      if (deep) assert.deepEqual(await problems(), [], "sizes alone cannot tell");
      const found = await problems(deep);
      assert.deepEqual(
        found.map((problem) => problem.rule),
        [rule],
      );
    });
});

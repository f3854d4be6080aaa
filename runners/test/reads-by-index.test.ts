// What a labeling run asks of the registry costs as much as its batch, not as the dataset: no table that grows is read from
// end to end. PostgreSQL's own counters tell.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdir, utimes, writeFile } from "node:fs/promises";
import path from "node:path";
import { labelOf } from "@airloom/dataset-platform/registry/annotations.ts";
import { imagePath } from "@airloom/dataset-platform/store/layout.ts";
import { sql } from "kysely";
import sharp from "sharp";
import { type Commit, commitDataset } from "../dvc/task.ts";
import { ingestImages } from "../ingest/task.ts";
import { labelingRun, type LabelingPlace, openPlace } from "./labeling-place.ts";

const there = 3000;
const label = labelOf([{ classId: 0, xywh: [0.5, 0.5, 0.25, 0.5] }]);
/** Tables with a row for each picture, or more. */
const growing = ["images", "image_bands", "annotations", "boxes", "batches", "batch_images", "predictions", "versions", "version_changes", "events"];

describe("a labeling run beside many pictures", function () {
  this.timeout(120_000);
  let place: LabelingPlace;
  before(async () => {
    place = await openPlace();
    await fill(place);
    await commitDataset.handler({ message: "all before" }, place.context({ runId: "before" }));
    await sql`vacuum analyze`.execute(place.registry.db);
  });
  after(() => place.close());

  it("reads no table from end to end: ingest, select, create, wait, pull, commit", async () => {
    const incoming = path.join(path.dirname(place.storage.root), "incoming/cam");
    await mkdir(incoming, { recursive: true });
    const longAgo = new Date("2026-01-01T00:00:00Z");
    for (let n = 0; n < 5; n++) {
      const noise = { type: "gaussian", mean: 100 + 20 * n, sigma: 30 } as const;
      const file = path.join(incoming, `${n}.png`);
      await writeFile(
        file,
        await sharp({ create: { width: 64, height: 48, channels: 3, background: "grey", noise } })
          .png()
          .toBuffer(),
      );
      await utimes(file, longAgo, longAgo);
    }
    const rows = await readInSequence();
    const run = labelingRun(place, { runId: "now" });
    await ingestImages.handler({ sourceId: "cam" }, place.context({ runId: "now", taskId: "ingest_images" }));
    const batch = await run.select("cam");
    assert.equal(batch.images, 5);
    const task = await run.create(batch.id);
    for (const job of await place.cvat.jobs(task.id)) await place.cvat.completeJob(job.id);
    await run.wait(batch.id, task.id);
    assert.equal((await run.pull(batch.id, task.id)).images, 5);
    const made = (await commitDataset.handler({ message: "five more" }, place.context({ runId: "now", taskId: "commit_dataset" }))) as Commit;
    assert.ok(made.changed);
    const after = await readInSequence();
    const read = growing.map((table) => [table, after.get(table)! - rows.get(table)!] as const).filter(([, count]) => count > 100);
    assert.deepEqual(read, [], "rows that were read outside an index");
  });

  /** Rows of each table that were read outside an index so far. */
  async function readInSequence(): Promise<Map<string, number>> {
    const { db } = place.registry;
    // Connections tell when they end, or are told to.
    await sql`select pg_stat_force_next_flush()`.execute(db);
    const { rows } = await sql<{ relname: string; read: number }>`select relname, seq_tup_read as read from pg_stat_user_tables`.execute(db);
    return new Map(rows.map(({ relname, read }) => [relname, read]));
  }
});

/** Labelled pictures of a few bytes, each of a batch of its own: of a small table PostgreSQL reads all, with or without an index. */
async function fill({ registry, storage }: LabelingPlace): Promise<void> {
  const { db } = registry;
  const names = Array.from({ length: there }, (_, n) => `picture ${n}`.padEnd(40));
  const digest = (algorithm: string, text: string) => createHash(algorithm).update(text).digest("hex");
  for (const name of names) {
    const file = path.join(storage.images, imagePath(digest("sha256", name), "jpg"));
    await mkdir(path.dirname(file), { recursive: true });
    await writeFile(file, name);
  }
  await sql`insert into sources (id) values ('x')`.execute(db);
  await sql`insert into classes (id, name) values (0, 'car')`.execute(db);
  await sql`insert into images (sha256, md5, extension, bytes, width, height, orientation, source_id, original_name, group_id, grouped, state)
    select sha256, md5, 'jpg', 40, 64, 48, 1, 'x', sha256, sha256, true, 'new'
    from unnest(${names.map((name) => digest("sha256", name))}::text[], ${names.map((name) => digest("md5", name))}::text[]) as made (sha256, md5)`.execute(db);
  await sql`insert into batches (id, dag_id, run_id, task_id, map_index, generation, run_after, source_id, state, ended_at)
    select lpad(n::text, 10, '0'), 'd', n::text, 't', -1, 0, '', 'x', 'pulled', now() from generate_series(0, ${there - 1}::integer) n`.execute(db);
  await sql`insert into batch_images (batch_id, sha256) select lpad((row_number() over (order by sha256) - 1)::text, 10, '0'), sha256 from images`.execute(db);
  await sql`insert into annotations (sha256, revision, asked, origin, label_md5, label_bytes)
    select sha256, 1, '{0}', 'imported', ${label.md5}::text, ${label.bytes}::integer from images`.execute(db);
  await sql`insert into boxes (annotation_id, position, class_id, cx, cy, w, h, how) select id, 0, 0, 0.5, 0.5, 0.25, 0.5, 'drawn' from annotations`.execute(
    db,
  );
  await sql`update images set annotation_id = annotations.id, state = 'labelled' from annotations where annotations.sha256 = images.sha256`.execute(db);
  await sql`insert into events (kind, subject, actor) select 'image.added', sha256, 'x' from images`.execute(db);
}

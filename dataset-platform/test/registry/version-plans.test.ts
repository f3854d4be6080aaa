// What a commit asks of the registry costs as much as the change, not as the dataset: each question finds an index.
import assert from "node:assert/strict";
import { sql, type Transaction } from "kysely";
import type { Tables } from "@airloom/dataset-platform/registry/tables.ts";
import * as versions from "@airloom/dataset-platform/registry/versions.ts";
import { openTestRegistry, runKey, type TestRegistry } from "./open-registry.ts";

describe("questions about versions", function () {
  this.timeout(120_000);
  let tested: TestRegistry;

  before(async () => {
    tested = await openTestRegistry();
    const { db } = tested.registry;
    await sql`insert into sources (id) values ('x')`.execute(db);
    // 5,000 labelled pictures in 500 versions; ten wait for the next one.
    await sql`insert into images (sha256, md5, extension, bytes, width, height, orientation, source_id, original_name, group_id, state)
      select sha, left(sha, 32), 'jpg', 40, 1, 1, 1, 'x', 'a', sha, 'new'
      from (select encode(sha256(n::text::bytea), 'hex') as sha from generate_series(1, 5000) n) made`.execute(db);
    await sql`insert into annotations (sha256, revision, asked, origin, label_md5, label_bytes) select sha256, 1, '{0}', 'imported', md5, 38 from images`.execute(
      db,
    );
    await sql`update images set annotation_id = annotations.id, state = 'labelled' from annotations where annotations.sha256 = images.sha256`.execute(db);
    await sql`update images set committed_annotation_id = annotation_id
      where sha256 not in (select sha256 from images order by original_name, md5 limit 10)`.execute(db);
    await sql`insert into versions (commit, state, message, images, pushed_at, pushed_to, dag_id, run_id)
      select left(encode(sha256(n::text::bytea), 'hex'), 40), 'written', 'm', n, now(), 'there', 'd', 'r' || n from generate_series(1, 500) n`.execute(db);
    await sql`insert into version_changes
      select 1 + (row_number() over (order by sha256) - 1) / 10, sha256, annotation_id from images`.execute(db);
    await sql`analyze`.execute(db);
  });
  after(async () => tested.close());

  const questions: [name: string, ask: (trx: Transaction<Tables>) => Promise<unknown>][] = [];
  const add = (name: string, ask: (typeof questions)[number][1]) => questions.push([name, ask]);
  add("changedPrefixes", async (db) => versions.changedPrefixes(db));
  add("uncommittedChanges", async (db) => versions.uncommittedChanges(db));
  add("uncommittedChanges of a folder", async (db) => versions.uncommittedChanges(db, "ab"));
  add("labelledIn", async (db) => versions.labelledIn(db, "ab"));
  add("newestVersion", async (db) => versions.newestVersion(db));
  add("interruptedVersion", async (db) => versions.interruptedVersion(db));
  add("versionOfCommit", async (db) => versions.versionOfCommit(db, "0".repeat(40)));
  add("versionOfRun", async (db) => versions.versionOfRun(db, { dagId: "d", runId: "r7" }));
  add("unpushedVersions", async (db) => versions.unpushedVersions(db, "there"));
  add("isKnownRemote", async (db) => versions.isKnownRemote(db, "there"));
  add("objectsOfVersion", async (db) => versions.objectsOfVersion(db, 250));
  add("picturesOfVersion", async (db) => versions.picturesOfVersion(db, 250, "ab", "ab"));
  add("markPushed", async (db) => versions.markPushed(db, [7], "there"));
  add("beginVersion and finishVersion", async (trx) => {
    const changes = (await versions.uncommittedChanges(trx)).slice(0, 3);
    const id = await versions.beginVersion(trx, { commit: "f".repeat(40), parent: null, message: "m", changes }, runKey("r"));
    await versions.finishVersion(trx, id, runKey("r"));
  });

  /** Rows of tables that grow, read outside an index by `work`. PostgreSQL counts them for a connection, so a difference is taken; one row tells nothing. */
  const readInSequence = async (trx: Transaction<Tables>, work: () => Promise<unknown>) => {
    const count = async () => {
      const { rows } = await sql<{ relname: string; rows: number }>`
        select relname, seq_tup_read as rows from pg_stat_xact_user_tables
        where relname in ('images', 'annotations', 'boxes', 'versions', 'version_changes')`.execute(trx);
      return new Map(rows.map(({ relname, rows: read }) => [relname, read]));
    };
    const before = await count();
    await work();
    return [...(await count())].flatMap(([table, read]) => (read > (before.get(table) ?? 0) + 1 ? [`${table}: ${read - (before.get(table) ?? 0)}`] : []));
  };

  for (const [name, ask] of questions)
    it(`${name} reads no table from end to end`, async () => {
      const undo = new Error("undo");
      const work = tested.registry.db.transaction().execute(async (trx) => {
        assert.deepEqual(await readInSequence(trx, async () => ask(trx)), []);
        throw undo;
      });
      await assert.rejects(work, (error) => error === undo || assert.fail(error as Error));
    });

  it("would be caught if they did", async () => {
    await tested.registry.db.transaction().execute(async (trx) => {
      const read = await readInSequence(trx, async () => sql`select count(*) from images where original_name like '%b%'`.execute(trx));
      assert.deepEqual(read, ["images: 5000"]);
    });
  });
});

import { sql } from "kysely";
import { boxesOf, labelOf } from "../registry/annotations.ts";
import type { Db } from "../registry/database.ts";
import type { Problem, Rule } from "./problem.ts";

/** Questions whose every answer is a problem: the broken rule, the subject and what is wrong with it. */
const questions: readonly { readonly rule: Rule; readonly ask: ReturnType<typeof sql<{ subject: string; what: string }>> }[] = [
  {
    rule: "claims-are-open",
    ask: sql`
      select images.sha256 as subject, 'is claimed by batch ' || batches.id || ', which is ' || batches.state as what
      from images join batches on batches.id = images.batch_id where batches.state <> 'open'`,
  },
  {
    rule: "claims-are-open",
    ask: sql`
      select images.sha256 as subject, 'is claimed by batch ' || images.batch_id || ', which does not hold it' as what
      from images left join batch_images using (batch_id, sha256) where images.batch_id is not null and batch_images.sha256 is null`,
  },
  {
    rule: "newest-annotation",
    ask: sql`
      select images.sha256 as subject, 'has revision ' || count(annotations.id) || ' as its newest, and points to another' as what
      from images join annotations using (sha256) group by images.sha256
      having count(annotations.id) <> max(annotations.revision)
        or max(annotations.id) filter (where annotations.id = images.annotation_id) is distinct from (array_agg(annotations.id order by annotations.revision desc))[1]`,
  },
  {
    rule: "classes-are-dense",
    ask: sql`select name as subject, 'has the number ' || id || ', and ' || place || ' is its place' as what
      from (select id, name, row_number() over (order by id) - 1 as place from classes) numbered where id <> place`,
  },
  {
    rule: "boxes-were-asked",
    ask: sql`select distinct annotations.sha256 as subject, 'has a box of class ' || boxes.class_id || ', which nobody was asked to mark' as what
      from boxes join annotations on annotations.id = boxes.annotation_id where not boxes.class_id = any(annotations.asked)`,
  },
  {
    rule: "groups-have-a-founder",
    ask: sql`select images.sha256 as subject, 'is in the group of ' || images.group_id || ', which is itself in another' as what
      from images join images founder on founder.sha256 = images.group_id where founder.group_id <> founder.sha256`,
  },
  {
    rule: "no-version-half-written",
    ask: sql`select commit as subject, 'was being written when its writer ended' as what from versions where state = 'writing'`,
  },
  {
    rule: "versions-match-rows",
    ask: sql`
      select images.sha256 as subject, 'was last committed with annotation ' || coalesce(newest.annotation_id::text, 'none') || ', and its row says ' || coalesce(images.committed_annotation_id::text, 'none') as what
      from images
      left join (
        select distinct on (sha256) sha256, annotation_id from version_changes join versions on versions.id = version_id
        where state = 'written' order by sha256, version_id desc
      ) newest using (sha256)
      where newest.annotation_id is distinct from images.committed_annotation_id`,
  },
];

const atOnce = 1000;

/** What is wrong in the registry's rows, beyond what its constraints forbid. */
export async function* problemsOfRows(db: Db): AsyncGenerator<Problem> {
  for (const { rule, ask } of questions) for (const { subject, what } of (await ask.execute(db)).rows) yield { rule, subject, what };
  yield* problemsOfLabels(db);
}

/** Annotations whose label file's hash is not that of the file that their boxes make. */
async function* problemsOfLabels(db: Db): AsyncGenerator<Problem> {
  for (let after = 0; ;) {
    const rows = await db
      .selectFrom("annotations")
      .select(["id", "sha256", "label_md5", "label_bytes"])
      .where("id", ">", after)
      .orderBy("id")
      .limit(atOnce)
      .execute();
    if (rows.length === 0) return;
    const boxes = await boxesOf(
      db,
      rows.map(({ id }) => id),
    );
    for (const { id, sha256, label_md5, label_bytes } of rows) {
      const label = labelOf(boxes.get(id)!);
      if (label.md5 !== label_md5 || label.bytes !== label_bytes)
        yield { rule: "labels-match-boxes", subject: sha256, what: `its annotation ${id} names label file ${label_md5}, and its boxes make ${label.md5}` };
    }
    after = rows.at(-1)!.id;
  }
}

import { openBatches } from "@airloom/dataset-platform/registry/batches.ts";
import type { Db } from "@airloom/dataset-platform/registry/database.ts";
import type { RunKey } from "@airloom/dataset-platform/registry/events.ts";

/** How many pictures of each source wait to be labelled. */
export async function waitingBySource(db: Db): Promise<Map<string, number>> {
  const rows = await db
    .selectFrom("images")
    .select(["source_id", (eb) => eb.fn.countAll<number>().as("images")])
    .where("state", "=", "new")
    .groupBy("source_id")
    .orderBy("source_id")
    .execute();
  return new Map(rows.map(({ source_id, images }) => [source_id, images]));
}

/** Where pictures are, other than waiting in the source: what a person wants to know who finds nothing to label. */
export async function elsewhere(db: Db, sourceId: string): Promise<string[]> {
  const open = (await openBatches(db, sourceId)).map(({ id, images, run_id, dag_id, cvat_task_id, cvat_url }) => {
    const at = cvat_task_id === null ? "" : `, ${cvat_url}/tasks/${cvat_task_id}`;
    return `${images} pictures of this source are in batch ${id} of run ${run_id} of ${dag_id}, which still goes on${at} (\`npx airloom data release ${id}\` gives them back)`;
  });
  const others = [...(await waitingBySource(db))].filter(([source]) => source !== sourceId).map(([source, images]) => `${source} (${images})`);
  return [...open, ...(others.length > 0 ? [`pictures of other sources wait: ${others.join(", ")}`] : [])];
}

/** The run that a batch was adopted from last; undefined for one that never was. */
export async function formerRun(db: Db, batchId: string): Promise<RunKey | undefined> {
  const adoption = await db
    .selectFrom("events")
    .select("detail")
    .where("kind", "=", "batch.adopted")
    .where("subject", "=", batchId)
    .orderBy("id", "desc")
    .limit(1)
    .executeTakeFirst();
  return (adoption?.detail as { readonly from: RunKey } | undefined)?.from;
}

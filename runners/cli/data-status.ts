import type { Command } from "commander";
import { allClasses, differInCaseAlone } from "@airloom/dataset-platform/registry/classes.ts";
import type { Db } from "@airloom/dataset-platform/registry/database.ts";
import { countImages } from "@airloom/dataset-platform/registry/images.ts";
import type { ImageState } from "@airloom/dataset-platform/registry/tables.ts";
import { batchesWithCounts } from "./data-list.ts";
import { age, count, print, table } from "./data-print.ts";
import type { UseRegistry } from "./data-registry.ts";

const states: readonly ImageState[] = ["new", "claimed", "labelled", "excluded"];

async function statusOf(db: Db) {
  const counts = await countImages(db);
  const sources = [...new Set(counts.map(({ source_id }) => source_id))].map((source) => ({
    source,
    ...Object.fromEntries(states.map((state) => [state, counts.find((row) => row.source_id === source && row.state === state)?.images ?? 0])),
  })) as ({ source: string } & Record<ImageState, number>)[];
  const { uncommitted } = await db
    .selectFrom("images")
    .select((eb) => eb.fn.countAll<number>().as("uncommitted"))
    .where("committed_annotation_id", "is distinct from", (eb) => eb.ref("visible_annotation_id"))
    .executeTakeFirstOrThrow();
  const unpushed = await db.selectFrom("versions").select("commit").where("state", "=", "written").where("pushed_to", "is", null).orderBy("id").execute();
  const lastVersion = await db.selectFrom("versions").selectAll().where("state", "=", "written").orderBy("id", "desc").limit(1).executeTakeFirst();
  return {
    sources,
    openBatches: await batchesWithCounts(db, "open"),
    uncommitted,
    lastVersion: lastVersion ?? null,
    unpushed: unpushed.map(({ commit }) => commit),
    classesAlike: differInCaseAlone(await allClasses(db)),
  };
}

function linesOf({ sources, openBatches, uncommitted, lastVersion, unpushed, classesAlike }: Awaited<ReturnType<typeof statusOf>>): string[] {
  const batches = openBatches.map(({ id, source_id, images, run_id, dag_id, created_at, cvat_task_id, cvat_url }) => [
    id,
    source_id,
    count(images, "picture"),
    `run ${run_id} of ${dag_id}`,
    `for ${age(created_at)}`,
    cvat_task_id === null ? "no CVAT task yet" : `${cvat_url}/tasks/${cvat_task_id}`,
  ]);
  return [
    ...(sources.length === 0
      ? ["the registry knows no picture yet"]
      : table([["source", ...states], ...sources.map((row) => [row.source, ...states.map((state) => row[state])])])),
    "",
    ...(batches.length === 0 ? ["no batch is open"] : [`${count(batches.length, "open batch")}:`, ...table(batches)]),
    "",
    uncommitted === 0 ? "every annotation is in a dataset version" : `${count(uncommitted, "change")} not in a dataset version yet`,
    lastVersion
      ? `last version: ${lastVersion.commit.slice(0, 12)}, ${count(lastVersion.images, "picture")}, ${age(lastVersion.created_at)} ago: ${lastVersion.message}`
      : "there is no dataset version yet",
    ...(unpushed.length > 0
      ? [`${count(unpushed.length, "version")} may not be on DVC's remote: ${unpushed.map((commit) => commit.slice(0, 12)).join(", ")}`]
      : []),
    ...classesAlike.map(([a, b]) => `the classes "${a}" and "${b}" differ in case alone: is it one by two names?`),
  ];
}

export function addStatus(program: Command, use: UseRegistry): void {
  program
    .command("status", { isDefault: true })
    .description("pictures by source and state, open batches, what is not in a version yet")
    .action(() =>
      use(async ({ registry }) => {
        const status = await statusOf(registry.db);
        print(program, status, linesOf(status));
      }),
    );
}

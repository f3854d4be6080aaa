import type { Command } from "commander";
import type { Transaction } from "kysely";
import { findBatch, imagesOfBatch, releaseBatch } from "@airloom/dataset-platform/registry/batches.ts";
import type { Db } from "@airloom/dataset-platform/registry/database.ts";
import { personHere } from "@airloom/dataset-platform/registry/events.ts";
import { excludeImages, relabelImages, restoreImages } from "@airloom/dataset-platform/registry/images.ts";
import type { Registry } from "@airloom/dataset-platform/registry/registry.ts";
import type { Tables } from "@airloom/dataset-platform/registry/tables.ts";
import { findPictures } from "./data-find.ts";
import { count, print } from "./data-print.ts";
import type { UseRegistry } from "./data-registry.ts";

/** `release`, `relabel`, `exclude` and `restore`: each says what it did and how to undo it. */
export function addChanges(program: Command, use: UseRegistry): void {
  program
    .command("release")
    .description("gives the pictures of an open batch back, for the next run")
    .argument("<batch>", "its 10 digits")
    .option("--why <reason>", "is kept with the batch", "released by hand")
    .action((id: string, { why }: { why: string }) => use(({ registry }) => release(program, registry.db, id, why)));
  program
    .command("relabel")
    .description("lets labelled pictures be labelled again; versions keep their boxes until there are new ones")
    .argument("[sha256...]", "pictures")
    .option("--batch <batch>", "all pictures of a batch")
    .option("--source <source>", "all pictures of a source")
    .action((given: string[], which: Which) =>
      use(async ({ registry }) => {
        const sha256s = await choose(registry.db, given, which);
        const changed = await inParts(registry, sha256s, (trx, part) => relabelImages(trx, part, personHere()));
        const undo = "exclude and restore one to leave it as it was labelled";
        say(program, "waits to be labelled again", "is not labelled, and stays as it is", sha256s, changed, undo);
      }),
    );
  program
    .command("exclude")
    .description("takes pictures out of future batches and versions; their bytes stay")
    .argument("<sha256...>", "pictures")
    .requiredOption("--why <reason>", "is kept with the pictures")
    .action((given: string[], { why }: { why: string }) =>
      use(async ({ registry }) => {
        if (why.trim() === "") throw new Error("--why is empty: say why the pictures are excluded");
        const sha256s = await choose(registry.db, given, {});
        const changed = await inParts(registry, sha256s, (trx, part) => excludeImages(trx, part, why, personHere()));
        say(program, "excluded", "was excluded before", sha256s, changed, "`npx airloom data restore` brings them back");
      }),
    );
  program
    .command("restore")
    .description("brings excluded pictures back: labelled where they had been, else waiting to be labelled")
    .argument("<sha256...>", "pictures")
    .action((given: string[]) =>
      use(async ({ registry }) => {
        const sha256s = await choose(registry.db, given, {});
        const changed = await inParts(registry, sha256s, (trx, part) => restoreImages(trx, part, personHere()));
        say(program, "brought back", "is not excluded, and stays as it is", sha256s, changed, "`npx airloom data exclude … --why …` takes them out again");
      }),
    );
}

async function release(program: Command, db: Db, id: string, why: string): Promise<void> {
  const batch = await findBatch(db, id);
  const released = await releaseBatch(db, id, why, personHere());
  const now = await findBatch(db, id);
  if (now.state === "pulled")
    throw new Error(`the annotations of batch ${id} are stored: \`npx airloom data relabel --batch ${id}\` lets its pictures be labelled again`);
  const lines =
    batch.state === "released"
      ? [`batch ${id} was released before: ${batch.ended_why}`]
      : [
          `batch ${id} is released: ${count(released, "picture")} of source ${batch.source_id} ${released === 1 ? "waits" : "wait"} to be labelled`,
          `run ${batch.run_id} of ${batch.dag_id} fails at its next step, if it still goes on${batch.cvat_task_id === null ? "" : `; what was drawn in ${batch.cvat_url}/tasks/${batch.cvat_task_id} is not taken`}`,
          "trigger the pipeline again to have them labelled",
        ];
  print(program, { batch: id, state: now.state, released }, lines);
}

/** A statement takes 65,535 values at most, and an event has eight. */
const picturesAtOnce = 2000;

/** Changes pictures, all or none, however many they are. */
async function inParts(
  registry: Registry,
  sha256s: readonly string[],
  change: (trx: Transaction<Tables>, part: readonly string[]) => Promise<string[]>,
): Promise<string[]> {
  return registry.transaction(async (trx) => {
    const changed: string[] = [];
    for (let i = 0; i < sha256s.length; i += picturesAtOnce) changed.push(...(await change(trx, sha256s.slice(i, i + picturesAtOnce))));
    return changed;
  });
}

interface Which {
  readonly batch?: string;
  readonly source?: string;
}

/** The pictures that are named one by one, by their batch or by their source: one of the three. */
async function choose(db: Db, given: readonly string[], { batch, source }: Which): Promise<string[]> {
  if ([given.length > 0, batch !== undefined, source !== undefined].filter(Boolean).length !== 1)
    throw new Error("say which pictures in one way: their SHA-256s, --batch or --source");
  if (batch !== undefined) {
    await findBatch(db, batch);
    return (await imagesOfBatch(db, batch)).map(({ sha256 }) => sha256);
  }
  if (source === undefined) return [...new Set((await findPictures(db, given)).map(({ sha256 }) => sha256))];
  const rows = await db.selectFrom("images").select("sha256").where("source_id", "=", source).execute();
  if (rows.length === 0) throw new Error(`the registry knows no picture of source "${source}"`);
  return rows.map(({ sha256 }) => sha256);
}

function say(program: Command, done: string, left: string, asked: readonly string[], changed: readonly string[], undo: string): void {
  const isChanged = new Set(changed);
  const unchanged = asked.filter((sha256) => !isChanged.has(sha256));
  const many = (sha256s: readonly string[], what: string) =>
    `${count(sha256s.length, "picture")}: ${what}${sha256s.length <= 10 ? ` (${sha256s.map((sha256) => sha256.slice(0, 12)).join(", ")})` : ""}`;
  print(program, { changed, unchanged }, [
    ...(changed.length > 0 ? [many(changed, done), `to undo it: ${undo}`] : []),
    ...(unchanged.length > 0 ? [many(unchanged, left)] : []),
  ]);
}

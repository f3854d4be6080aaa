import { type Command, InvalidArgumentError, Option } from "commander";
import type { Db } from "@airloom/dataset-platform/registry/database.ts";
import type { BatchRow } from "@airloom/dataset-platform/registry/tables.ts";
import { age, print, table } from "./data-print.ts";
import type { UseRegistry } from "./data-registry.ts";

const things = ["images", "batches", "classes", "versions"] as const;

interface Options {
  readonly source?: string;
  readonly state?: string;
  readonly limit: number;
}

/** Batches, newest first, each with how many pictures it chose. */
export async function batchesWithCounts(db: Db, state?: string, source?: string, limit = 1000): Promise<(BatchRow & { images: number })[]> {
  return db
    .selectFrom("batches")
    .selectAll("batches")
    .select((eb) =>
      eb
        .selectFrom("batch_images")
        .select((sub) => sub.fn.countAll<number>().as("n"))
        .whereRef("batch_images.batch_id", "=", "batches.id")
        .$asScalar()
        .$notNull()
        .as("images"),
    )
    .$if(state !== undefined, (query) => query.where("state", "=", state as BatchRow["state"]))
    .$if(source !== undefined, (query) => query.where("source_id", "=", source!))
    .orderBy("created_at", "desc")
    .limit(limit)
    .execute();
}

async function images(db: Db, { source, state, limit }: Options) {
  const rows = await db
    .selectFrom("images")
    .selectAll()
    .$if(state !== undefined, (query) => query.where("state", "=", state as "new"))
    .$if(source !== undefined, (query) => query.where("source_id", "=", source!))
    .orderBy("ingested_at", "desc")
    .orderBy("sha256")
    .limit(limit)
    .execute();
  const lines = rows.map((row) => [row.sha256, row.state, row.source_id, row.original_name, row.state_why ?? (row.batch_id ? `batch ${row.batch_id}` : "")]);
  return { rows, lines: table(lines) };
}

async function batches(db: Db, { source, state, limit }: Options) {
  const rows = await batchesWithCounts(db, state, source, limit);
  const lines = rows.map((row) => [
    row.id,
    row.state,
    row.source_id,
    row.images,
    `${age(row.created_at)} ago`,
    `run ${row.run_id} of ${row.dag_id}`,
    row.ended_why ?? "",
  ]);
  return { rows, lines: table(lines) };
}

async function classes(db: Db) {
  const rows = await db
    .selectFrom("classes")
    .selectAll("classes")
    .select((eb) =>
      eb
        .selectFrom("boxes")
        .innerJoin("images", "images.visible_annotation_id", "boxes.annotation_id")
        .select((sub) => sub.fn.countAll<number>().as("n"))
        .whereRef("boxes.class_id", "=", "classes.id")
        .$asScalar()
        .$notNull()
        .as("boxes"),
    )
    .orderBy("id")
    .execute();
  return { rows, lines: table(rows.map(({ id, name, boxes }) => [id, name, `${boxes} boxes`])) };
}

async function versions(db: Db, { limit }: Options) {
  const rows = await db.selectFrom("versions").selectAll().orderBy("id", "desc").limit(limit).execute();
  const lines = rows.map((row) => [
    row.commit.slice(0, 12),
    `${row.images} pictures`,
    `${age(row.created_at)} ago`,
    row.state === "writing" ? "interrupted" : row.pushed_at ? "pushed" : "not pushed",
    row.message,
  ]);
  return { rows, lines: table(lines) };
}

const whole = (text: string): number => {
  if (!/^[1-9]\d{0,6}$/.test(text)) throw new InvalidArgumentError("It must be a whole number from 1.");
  return Number(text);
};

export function addList(program: Command, use: UseRegistry): void {
  program
    .command("list")
    .description("what the registry holds, newest first")
    .argument("<what>", things.join(", "))
    .option("--source <source>", "of one source: images, batches")
    .addOption(
      new Option("--state <state>", "images: new, claimed, labelled, excluded; batches: open, pulled, released").choices([
        "new",
        "claimed",
        "labelled",
        "excluded",
        "open",
        "pulled",
        "released",
      ]),
    )
    .option("--limit <n>", "the most", whole, 50)
    .action((what: string, options: Options) =>
      use(async ({ registry: { db } }) => {
        const lists = { images, batches, classes, versions };
        if (!(what in lists)) throw new Error(`"${what}" cannot be listed: ask for ${things.join(", ")}`);
        const { rows, lines } = await lists[what as (typeof things)[number]](db, options);
        print(program, rows, lines.length > 0 ? lines : [`there are no ${what}${options.state ? ` that are ${options.state}` : ""}`]);
      }),
    );
}

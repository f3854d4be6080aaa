import { readFile, rm } from "node:fs/promises";
import type { Transaction } from "kysely";
import { z } from "zod";
import type { Db } from "../registry/database.ts";
import type { Tables } from "../registry/tables.ts";
import { waitingPredictions } from "./waiting-predictions.ts";

const share = z.number().min(0).max(1);

/** What a model saw in a picture, as the inference service leaves it beside the picture in `incoming/`. */
const predictionsSchema = z.object({
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
  model: z.object({ name: z.string(), version: z.string() }),
  detections: z
    .array(
      z.object({
        name: z.string(),
        confidence: share,
        /** Left, top, right, bottom as shares of the picture as a person sees it. */
        box: z.tuple([share, share, share, share]),
      }),
    )
    .max(1000),
});

export type Predictions = z.infer<typeof predictionsSchema>;

/** The predictions that wait beside a picture. They only spare work: those that cannot be read are passed over. */
export async function readWaitingPredictions(folder: string, sha256: string): Promise<Predictions | undefined> {
  const text = await readFile(waitingPredictions(folder, sha256), "utf8").catch(() => undefined);
  if (text === undefined) return undefined;
  try {
    const predictions = predictionsSchema.parse(JSON.parse(text));
    return predictions.sha256 === sha256 ? predictions : undefined;
  } catch {
    return undefined;
  }
}

/** Keeps predictions of pictures that are known; what came last counts. */
export async function savePredictions(trx: Transaction<Tables>, predictions: readonly Predictions[]): Promise<void> {
  const newest = new Map(predictions.map((one) => [one.sha256, one]));
  if (newest.size === 0) return;
  const rows = [...newest.values()].map((body) => ({ sha256: body.sha256, body: JSON.stringify(body) }));
  await trx
    .insertInto("predictions")
    .values(rows.toSorted((a, b) => (a.sha256 < b.sha256 ? -1 : 1)))
    .onConflict((conflict) => conflict.column("sha256").doUpdateSet((eb) => ({ body: eb.ref("excluded.body") })))
    .execute();
}

/** Removes what waits beside a picture, once it is kept. */
export async function dropWaitingPredictions(folder: string, sha256: string): Promise<void> {
  await rm(waitingPredictions(folder, sha256), { force: true });
}

/** What a model saw in an image; undefined where none was asked. */
export async function tryReadPredictions(db: Db, sha256: string): Promise<Predictions | undefined> {
  const row = await db.selectFrom("predictions").select("body").where("sha256", "=", sha256).executeTakeFirst();
  return row && predictionsSchema.parse(row.body);
}

import type { Transaction } from "kysely";
import { batchOfRun } from "./batches.ts";
import type { RunKey } from "./events.ts";
import type { BatchRow, Tables } from "./tables.ts";

/**
 * The batch that a run works on, held until the transaction ends: nobody adopts, releases or pulls it meanwhile. Throws BatchGone
 * where it is the run's no more.
 */
export async function holdBatch(trx: Transaction<Tables>, id: string, run: Pick<RunKey, "dagId" | "runId">): Promise<BatchRow> {
  await trx.selectFrom("batches").select("id").where("id", "=", id).forUpdate().execute();
  return batchOfRun(trx, id, run);
}

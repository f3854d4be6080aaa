import { setTimeout as sleep } from "node:timers/promises";
import { Skip, task } from "airloom";
import { runKeyOf, withRegistry } from "../platform/registry.ts";
import { isLocal, localRuns } from "./local-runs.ts";
import { runIsOver } from "./run-is-over.ts";

export interface Batch {
  readonly id: string;
  readonly images: number;
}

/** How long pictures that wait, and that somebody else holds just now, are asked for again. */
const patienceMs = 15_000;
const pauseMs = 300;

/**
 * Chooses the images of this run: a batch of the source whose run is over and that was never stored, else those that no run
 * has had yet, oldest first. Skips where there are none.
 */
export const selectBatch = task("select_batch", { timeout: "10m" }, async (input: { sourceId: string; batchSize: number }, context): Promise<Batch> => {
  const { log, run } = context;
  const { claimBatch, imagesOfBatch } = await import("@airloom/dataset-platform/registry/batches.ts");
  const { elsewhere, formerRun, waitingBySource } = await import("./waiting.ts");
  return withRegistry(context, async ({ db }, { incoming, storage }) => {
    const local = localRuns(storage);
    if (isLocal(run.runId)) await local.begin(run);
    const isOver = runIsOver(context, local);
    const options = { run: runKeyOf(run), sourceId: input.sourceId, size: input.batchSize, runAfter: run.runAfter ?? "", isOver };
    let claim = await claimBatch(db, options);
    // Rows that another transaction holds are passed over: they may be free the next moment.
    for (const deadline = Date.now() + patienceMs; !claim && Date.now() < deadline && (await waitingBySource(db)).has(input.sourceId);) {
      await sleep(pauseMs);
      claim = await claimBatch(db, options);
    }
    if (!claim) {
      const more = await elsewhere(db, input.sourceId);
      throw new Skip(
        [`there are no new images of source "${input.sourceId}" to label: put pictures into ${incoming} and trigger the pipeline again`, ...more].join("; "),
      );
    }
    const { batch, how } = claim;
    const images = (await imagesOfBatch(db, batch.id)).length;
    log.info(`batch ${batch.id}: ${images} images of source "${input.sourceId}"`);
    if (how === "adopted") {
      const former = await formerRun(db, batch.id);
      const at = batch.cvat_task_id === null ? "it has no CVAT task yet" : `its CVAT task is ${batch.cvat_url}/tasks/${batch.cvat_task_id}`;
      log.info(`run ${former?.runId} of ${former?.dagId} chose it, is over, and has stored nothing of it: this run goes on with it; ${at}`);
    }
    return { id: batch.id, images };
  });
});

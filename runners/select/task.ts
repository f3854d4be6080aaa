import { createHash } from "node:crypto";
import { Skip, task } from "airloom";
import { withRegistry } from "../platform/registry.ts";

export interface Batch {
  readonly id: string;
  readonly images: number;
}

/** Chooses the images of this run: those of the source that no run has had yet, oldest first. Skips where there are none. */
export const selectBatch = task("select_batch", { timeout: "10m" }, async (input: { sourceId: string; batchSize: number }, { log, run }): Promise<Batch> => {
  // From the run's own id, so that a retry finds the batch that the first try chose.
  const id = createHash("sha256").update(`${run.dagId}/${run.runId}`).digest("hex").slice(0, 10);
  return withRegistry(async (registry, { incoming }) => {
    const batch = await registry.claimBatch({ id, runId: run.runId, sourceId: input.sourceId, size: input.batchSize, now: new Date().toISOString() });
    if (!batch) throw new Skip(`there are no new images of source "${input.sourceId}" to label: put pictures into ${incoming} and trigger the pipeline again`);
    const images = (await registry.imagesOfBatch(batch.id)).length;
    log.info(`batch ${batch.id}: ${images} images of source "${input.sourceId}"`);
    return { id: batch.id, images };
  });
});

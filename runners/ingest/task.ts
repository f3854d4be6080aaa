import { task, TerminalError } from "airloom";
import { withRegistry } from "../platform/registry.ts";

export interface Ingested {
  readonly added: number;
  readonly known: number;
  readonly rejected: number;
}

/** Takes the pictures in `incoming/` into the store by their SHA-256. What cannot be taken goes to `incoming/rejected/`. */
export const ingestImages = task("ingest_images", { timeout: "1h" }, async (input: { sourceId: string }, { log, signal }): Promise<Ingested> => {
  const { ingest } = await import("@airloom/dataset-platform/store/ingest.ts");
  return withRegistry(async (registry, { incoming, storage }) => {
    const report = await ingest({ incoming, storage, registry, sourceId: input.sourceId, signal }).catch((error: unknown) => {
      throw error instanceof RangeError ? new TerminalError(error.message, { cause: error }) : error;
    });
    for (const { name, why } of report.rejected) log.warn(`${name} was not taken: ${why}. It is in ${incoming}/rejected.`);
    for (const name of report.known) log.info(`${name} is known already`);
    log.info(`${report.added.length} new images, ${report.known.length} known, ${report.rejected.length} rejected`);
    return { added: report.added.length, known: report.known.length, rejected: report.rejected.length };
  });
});

import { task, TerminalError } from "airloom";
import type { IngestReport, NamedFile } from "@airloom/dataset-platform/store/ingest.ts";
import { withRegistry } from "../platform/registry.ts";

export interface Ingested {
  readonly added: number;
  readonly known: number;
  readonly rejected: number;
}

/** How often a long run says how far it is. */
const progressEveryMs = 10_000;
/** So many names are logged of each kind, and then their number. */
const mostNames = 10;

/**
 * Takes the pictures in `incoming/` into the store by their SHA-256. What cannot be taken goes to `incoming/rejected/`. Each
 * picture is complete by itself, so that a try goes on where the one before ended; the timeout is for a disk that hangs.
 */
export const ingestImages = task("ingest_images", { timeout: "24h" }, async (input: { sourceId: string }, context): Promise<Ingested> => {
  const { BadSourceId, ingest } = await import("@airloom/dataset-platform/store/ingest.ts");
  const { groupImages } = await import("@airloom/dataset-platform/groups/group-images.ts");
  const { log, run, signal } = context;
  return withRegistry(context, async (registry, { incoming, storage }) => {
    const progress = progressLines((line) => log.info(line));
    const note = (line: string) => log.info(line);
    const report = await ingest({ incoming, storage, registry, sourceId: input.sourceId, run, signal, progress, note }).catch((error: unknown) => {
      throw error instanceof BadSourceId ? new TerminalError(error.message, { cause: error }) : error;
    });
    for (const line of some(report.rejected.map(({ name, why }) => `${name} was not taken: ${why}. It is in ${incoming}/rejected.`))) log.warn(line);
    for (const line of some(report.waiting.map(({ name, why }) => `${name} is left for the next run: ${why}`))) log.info(line);
    for (const line of some(report.known.map((name) => `${name} is known already`))) log.info(line);
    log.info(summary(report));
    const { joined } = await groupImages(registry, { signal });
    if (joined > 0) log.info(`${joined} images look like older ones, or are of one recording with them: they stand on the same side of every split`);
    if (report.failed.length > 0) throw new Error(failureOf(report.failed, incoming));
    return { added: report.added.length, known: report.known.length, rejected: report.rejected.length };
  });
});

const summary = ({ added, known, rejected, waiting }: IngestReport) =>
  `${added.length} new images, ${known.length} known, ${rejected.length} rejected, ${waiting.length} left for the next run`;

function failureOf(failed: readonly NamedFile[], incoming: string): string {
  const lines = some(failed.map(({ name, why }) => `${name}: ${why}`)).join("; ");
  return `all other files of ${incoming} were taken, but ${failed.length} could not be read or moved: ${lines}. Mend their permissions or their disk, or remove them, and clear this task`;
}

function some(lines: readonly string[]): string[] {
  return lines.length <= mostNames ? [...lines] : [...lines.slice(0, mostNames), `… and ${lines.length - mostNames} more`];
}

/** Says every ten seconds how many files are done and how long the rest will take. */
export function progressLines(say: (line: string) => void, now: () => number = Date.now): (done: number, total: number) => void {
  const startedMs = now();
  let saidMs = startedMs;
  return (done, total) => {
    if (now() - saidMs < progressEveryMs) return;
    saidMs = now();
    const perSecond = done / ((saidMs - startedMs) / 1000);
    const leftS = (total - done) / perSecond;
    const left = leftS < 90 ? `${Math.ceil(leftS)} s` : `${Math.round(leftS / 60)} min`;
    say(`${done.toLocaleString("en")} of ${total.toLocaleString("en")} files, ${perSecond.toFixed(perSecond < 10 ? 1 : 0)}/s, about ${left} left`);
  };
}

import { randomUUID } from "node:crypto";
import { lstat, rm } from "node:fs/promises";
import path from "node:path";
import { BadArchive } from "../archives/entries.ts";
import { unpackArchive } from "../archives/unpack.ts";
import { type ChunkContext, endOtherwise, takeRequest } from "./ingest-chunk.ts";
import { isUnchanged, lookOf } from "./settled.ts";
import { handBack, type Settled, unpackedFolder } from "./taking.ts";

/**
 * Takes an archive, unpacks it whole, and gives its files to `ingestAll`. It leaves once all of its pictures are in; one that
 * breaks a bound is rejected before any of them is.
 */
export async function ingestArchive(
  archive: Settled,
  context: ChunkContext,
  signal: AbortSignal | undefined,
  ingestAll: (files: readonly Settled[]) => Promise<boolean>,
): Promise<void> {
  const open = new Set([archive]);
  const [result] = await context.workers.run({ kind: "take", files: [{ ...takeRequest(archive), isArchive: true }] });
  if (result!.kind !== "taken") return endOtherwise(archive, result!, context, open);
  // Hidden, so that nobody takes it for what a run has taken.
  const into = path.join(rootOf(archive), unpackedFolder, randomUUID());
  try {
    const files = await unpackArchive(archive.taken, into, signal);
    const isWhole = await isStill(archive);
    if (!isWhole) return await endOtherwise(archive, { kind: "changed" }, context, open);
    const areIn = await ingestAll(await asTaken(files, archive));
    if (!areIn) return await handBack(archive);
    if (await isStill(archive)) await rm(archive.taken, { force: true });
    else await endOtherwise(archive, { kind: "changed" }, context, open);
  } catch (error) {
    if (error instanceof BadArchive)
      return await endOtherwise(archive, { kind: "refused", why: error.message, hope: error.mayBeCut ? "soon" : "never" }, context, open);
    const { code, message, syscall } = error as NodeJS.ErrnoException;
    if (syscall === undefined) throw error;
    await endOtherwise(archive, code === "ENOENT" ? { kind: "gone" } : { kind: "failed", why: message }, context, open);
  } finally {
    await rm(into, { recursive: true, force: true });
  }
}

/** The run's folder that a file was taken into. */
const rootOf = ({ taken, name }: Settled) => taken.slice(0, -name.length);

const isStill = async ({ taken, look }: Settled) => {
  const stats = await lstat(taken).catch(() => undefined);
  return stats !== undefined && isUnchanged(look, lookOf(stats));
};

async function asTaken(files: readonly { file: string; name: string }[], archive: Settled): Promise<Settled[]> {
  const taken: Settled[] = [];
  for (const [i, { file, name }] of files.entries()) {
    const look = lookOf(await lstat(file));
    const order = archive.order + i;
    taken.push({ ...archive, name: `${archive.name}/${name}`, from: file, taken: file, isTaken: true, isUnpacked: true, look, order });
  }
  return taken;
}

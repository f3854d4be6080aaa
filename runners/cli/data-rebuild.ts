import { existsSync } from "node:fs";
import path from "node:path";
import type { Command } from "commander";
import { firstTen } from "@airloom/dataset-platform/versions/errors.ts";
import { removeHalfWritten } from "@airloom/dataset-platform/verify/half-written.ts";
import { rebuildFiles } from "@airloom/dataset-platform/versions/rebuild.ts";
import { atomicWrite } from "@airloom/dataset-platform/store/atomic-write.ts";
import { count, print } from "./data-print.ts";
import type { DataPlace, UseRegistry } from "./data-registry.ts";

interface Options {
  readonly deep: boolean;
  readonly newFolder: boolean;
}

async function rebuild(program: Command, place: DataPlace, { deep, newFolder }: Options): Promise<void> {
  const { registry, storage } = place;
  const idFile = path.join(storage.private, "storage-id");
  const bound = await registry.db.selectFrom("storage").select("id").executeTakeFirst();
  if (!existsSync(idFile)) {
    if (!newFolder)
      throw new Error(
        `${storage.root} is not the folder that the registry's pictures are in: is its volume mounted? --new-folder makes it that folder, from DVC's remote`,
      );
    if (bound) await atomicWrite(idFile, `${bound.id}\n`);
  }
  const { pictures, lost, objects } = await rebuildFiles(registry.db, storage, place.repository(), deep);
  const removed = await removeHalfWritten(storage);
  print(program, { pictures, lost, objects }, [
    `${count(pictures, "picture")} brought back; label files and classes.txt are what the registry says`,
    ...(removed > 0 ? [`${count(removed, "half-written file")} of killed programs removed`] : []),
    ...(objects.mended > 0 ? [`${count(objects.mended, "object")} of dataset versions made whole`] : []),
    ...(objects.lost.length > 0 ? [`${count(objects.lost.length, "object")} of dataset versions are nowhere whole: ${firstTen(objects.lost)}`] : []),
    ...(lost.length > 0 ? [`${count(lost.length, "picture")} are nowhere whole: ${firstTen(lost)}`] : []),
  ]);
  if (lost.length + objects.lost.length > 0) process.exitCode = 1;
}

/** `rebuild`: the files of the storage folder, from the registry and DVC's remote. */
export function addRebuild(program: Command, use: UseRegistry): void {
  program
    .command("rebuild")
    .description("makes the storage folder's files again: pictures from DVC's cache or remote, label files from the registry")
    .option("--deep", "reads every byte, where otherwise sizes are compared", false)
    .option("--new-folder", "for a folder that is not the one the registry knows: a new disk, or another machine", false)
    .action((options: Options) => use((place) => rebuild(program, place, options)));
}

import { existsSync } from "node:fs";
import path from "node:path";
import type { Command } from "commander";
import { DataRepository } from "@airloom/dataset-platform/versions/data-repository.ts";
import { rebuildFiles } from "@airloom/dataset-platform/versions/rebuild.ts";
import { atomicWrite } from "@airloom/dataset-platform/store/atomic-write.ts";
import { count, print } from "./data-print.ts";
import type { DataPlace, UseRegistry } from "./data-registry.ts";

interface Options {
  readonly deep: boolean;
  readonly newFolder: boolean;
}

async function rebuild(program: Command, place: DataPlace, { deep, newFolder }: Options): Promise<void> {
  const { registry, storage, dvc, dvcRemoteUrl } = place;
  const idFile = path.join(storage.private, "storage-id");
  const bound = await registry.db.selectFrom("storage").select("id").executeTakeFirst();
  if (!existsSync(idFile)) {
    if (!newFolder)
      throw new Error(
        `${storage.root} is not the folder that the registry's pictures are in: is its volume mounted? --new-folder makes it that folder, from DVC's remote`,
      );
    if (bound) await atomicWrite(idFile, `${bound.id}\n`);
  }
  const repository = new DataRepository({ storage, dvc, remoteUrl: dvcRemoteUrl, news: { info: console.error, warn: console.error } });
  const { pictures, lost } = await rebuildFiles(registry.db, storage, repository, deep);
  print(program, { pictures, lost }, [
    `${count(pictures, "picture")} brought back; label files and classes.txt are what the registry says`,
    ...(lost.length > 0 ? [`${count(lost.length, "picture")} are nowhere whole: ${lost.slice(0, 10).join(", ")}${lost.length > 10 ? ", …" : ""}`] : []),
  ]);
  if (lost.length > 0) process.exitCode = 1;
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

import { task } from "airloom";
import { withRegistry } from "../platform/registry.ts";

export interface Commit {
  /** The dataset's commit: a new one, or HEAD where nothing had changed. */
  readonly sha: string;
  readonly changed: boolean;
}

/** Commits the images and annotations as a new dataset version: DVC objects, pointer, Git commit, push to DVC's remote. */
export const commitDataset = task("commit_dataset", { timeout: "2h" }, async (input: { message: string }, { log }): Promise<Commit> => {
  const { DataRepository } = await import("@airloom/dataset-platform/versions/data-repository.ts");
  return withRegistry(async (registry, { storage, dvc, dvcRemoteUrl }) => {
    const repository = new DataRepository({ storage, dvc, remoteUrl: dvcRemoteUrl });
    const sha = await repository.commit(input.message, registry);
    if (sha) log.info(`commit ${sha} in ${storage.root}: ${input.message}`);
    else log.info("nothing has changed since the last commit");
    return { sha: sha ?? (await repository.findVersion("HEAD")).commit, changed: sha !== undefined };
  });
});

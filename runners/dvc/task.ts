import { Skip, task, TerminalError } from "airloom";
import { withRegistry } from "../platform/registry.ts";

export interface Commit {
  /** The dataset's commit: a new one, or HEAD where nothing had changed. */
  readonly sha: string;
  readonly changed: boolean;
}

/** Commits what the registry knows as a new dataset version: DVC objects, pointers, Git commit, push to DVC's remote. */
export const commitDataset = task("commit_dataset", { timeout: "2h" }, async (input: { message: string }, context): Promise<Commit> => {
  const { DataRepository } = await import("@airloom/dataset-platform/versions/data-repository.ts");
  const { CommitRefused, MissingFiles, UnknownPictures } = await import("@airloom/dataset-platform/versions/errors.ts");
  const { versionOfRun } = await import("@airloom/dataset-platform/registry/versions.ts");
  const { log, run } = context;
  return withRegistry(context, async (registry, { storage, dvc, dvcRemoteUrl }) => {
    const repository = new DataRepository({ storage, dvc, remoteUrl: dvcRemoteUrl, news: log });
    const made = await repository.commit(input.message, registry, run).catch((error: unknown) => {
      // A person has to mend these.
      const isFinal = [CommitRefused, MissingFiles, UnknownPictures].some((kind) => error instanceof kind);
      throw isFinal ? new TerminalError((error as Error).message, { cause: error }) : error;
    });
    // An earlier try of this task may have made the commit, and ended before it could say so.
    const sha = made ?? (run.tryNumber > 1 ? (await versionOfRun(registry.db, run))?.commit : undefined);
    if (sha) {
      log.info(`commit ${sha} in ${storage.root}: ${input.message}`);
      return { sha, changed: true };
    }
    const head = await repository.tryHead();
    if (!head) throw new Skip("no picture is labelled yet, so there is no dataset version");
    log.info("nothing has changed since the last commit");
    return { sha: head, changed: false };
  });
});

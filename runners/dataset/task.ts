import path from "node:path";
import { task, TerminalError } from "airloom";
import { platformSettings } from "../platform/settings.ts";

export interface Dataset {
  readonly folder: string;
  /** The dataset's commit. */
  readonly commit: string;
  readonly labels: readonly string[];
  readonly train: number;
  readonly validation: number;
}

/** Lays out the wanted dataset version for training, and leaves the storage's work tree as it is. */
export const exportDataset = task("export_dataset", { timeout: "1h" }, async (input: { version: string; split: number }, { log }): Promise<Dataset> => {
  const { DataRepository } = await import("@airloom/dataset-platform/versions/data-repository.ts");
  const { exportVersion } = await import("@airloom/dataset-platform/versions/export-version.ts");
  const { storage, dvc, dvcRemoteUrl } = platformSettings();
  const repository = new DataRepository({ storage, dvc, remoteUrl: dvcRemoteUrl });
  try {
    const version = await repository.findVersion(input.version);
    const dataset = await exportVersion(repository, version, { parent: path.join(storage.private, "exports"), split: input.split });
    log.info(
      `version ${input.version} is commit ${dataset.commit}: ${dataset.train} training and ${dataset.validation} validation images, classes ${dataset.labels.join(", ")}`,
    );
    return { ...dataset, labels: [...dataset.labels] };
  } catch (error) {
    // A version that is not there, or too small, is not there on the next try either.
    throw error instanceof Error && /^(there is no dataset version|dataset version|commit )/.test(error.message)
      ? new TerminalError(error.message, { cause: error })
      : error;
  }
});

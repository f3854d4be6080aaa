import path from "node:path";
import { task, TerminalError } from "airloom";
import { withRegistry } from "../platform/registry.ts";

export interface Dataset {
  readonly folder: string;
  /** The dataset's commit. */
  readonly commit: string;
  readonly labels: readonly string[];
  readonly train: number;
  readonly validation: number;
}

export interface ExportRequest {
  readonly version: string;
  readonly split: number;
  /** The share of a test part; 0 for none. */
  readonly test: number;
  /** The labels to train with; all where none are named. */
  readonly classes: readonly string[];
}

/** Lays out the wanted dataset version for training, and leaves the storage's work tree as it is. */
export const exportDataset = task("export_dataset", { timeout: "1h" }, async (input: ExportRequest, context): Promise<Dataset> => {
  const { DataRepository } = await import("@airloom/dataset-platform/versions/data-repository.ts");
  const { exportVersion } = await import("@airloom/dataset-platform/versions/export-version.ts");
  const { EmptyVersion, NoSuchVersion, UnknownClass } = await import("@airloom/dataset-platform/versions/errors.ts");
  const { TooFewGroups } = await import("@airloom/dataset-platform/labels/split.ts");
  const { log } = context;
  return withRegistry(context, async (registry, { storage, dvc, dvcRemoteUrl }) => {
    const repository = new DataRepository({ storage, dvc, remoteUrl: dvcRemoteUrl, news: log });
    try {
      const version = await repository.findVersion(input.version, { registry });
      const options = { split: input.split, test: input.test, labels: input.classes };
      const { folder, commit, labels, counts, askedOn } = await exportVersion(repository, version, {
        ...options,
        registry,
        parent: path.join(storage.private, "exports"),
      });
      const total = counts.train + counts.validation + counts.test;
      log.info(
        `version ${input.version} is commit ${commit}: ${counts.train} training, ${counts.validation} validation and ${counts.test} test images, classes ${labels.join(", ")}`,
      );
      labels.forEach((label, i) => {
        if (askedOn[i]! < total)
          log.info(`${label} was asked on ${askedOn[i]} of ${total} images: the others say nothing of it, and are not learned as its negatives`);
      });
      return { folder, commit, labels: [...labels], train: counts.train, validation: counts.validation };
    } catch (error) {
      // What is not there, or too small, is not there on the next try either.
      const isFinal = [NoSuchVersion, EmptyVersion, UnknownClass, TooFewGroups, RangeError].some((kind) => error instanceof kind);
      throw isFinal ? new TerminalError((error as Error).message, { cause: error }) : error;
    }
  });
});

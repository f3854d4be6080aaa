import path from "node:path";
import { DataRepository } from "@airloom/dataset-platform/versions/data-repository.ts";
import { exportVersion } from "@airloom/dataset-platform/versions/export-version.ts";
import { atStepPlace } from "./place.ts";

await atStepPlace(async ({ registry, storage }) => {
  const repository = new DataRepository({ storage, remoteUrl: ".remote", dvc: "dvc", news: console });
  const version = await repository.findVersion("HEAD", { registry });
  await exportVersion(repository, version, { parent: path.join(storage.private, "exports"), split: 0.5, registry });
});

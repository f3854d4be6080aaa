import { DataRepository } from "@airloom/dataset-platform/versions/data-repository.ts";
import { atStepPlace, stepRun } from "./place.ts";

await atStepPlace(async ({ registry, storage }) => {
  const repository = new DataRepository({ storage, remoteUrl: ".remote", dvc: "dvc", news: console });
  await repository.commit("Auto-commit: a batch", registry, stepRun("commit_dataset"));
});

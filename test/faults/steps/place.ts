// What every step's program is told: FAULTS_DATABASE_URL, and FAULTS_FOLDER with storage/, incoming/ and model/ in it.
import path from "node:path";
import type { RunKey } from "@airloom/dataset-platform/registry/events.ts";
import { Registry } from "@airloom/dataset-platform/registry/registry.ts";
import { type StorageLayout, storageLayout } from "@airloom/dataset-platform/store/layout.ts";

export interface StepPlace {
  readonly registry: Registry;
  readonly storage: StorageLayout;
  readonly incoming: string;
  readonly model: string;
}

/** The run that all steps belong to. */
export const stepRun = (taskId: string): RunKey => ({ dagId: "labeling_pipeline", runId: "run-1", taskId, mapIndex: -1 });

/** Opens the registry as a task does, does the step's work, and closes it. */
export async function atStepPlace(work: (place: StepPlace) => Promise<void>): Promise<void> {
  const { FAULTS_DATABASE_URL: url = "", FAULTS_FOLDER: folder = "" } = process.env;
  const storage = storageLayout(path.join(folder, "storage"));
  const registry = await Registry.open({ url, storage, pgDump: "pg_dump", python: "python3", say: (line) => console.log(line) });
  try {
    await work({ registry, storage, incoming: path.join(folder, "incoming"), model: path.join(folder, "model") });
  } finally {
    await registry.close();
  }
}

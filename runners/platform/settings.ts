import path from "node:path";
import { TerminalError } from "airloom";
import { type StorageLayout, storageLayout } from "@airloom/dataset-platform/store/layout.ts";

/** Where the tasks of this machine find things. `npm start` and compose.yaml set the variables. */
export interface PlatformSettings {
  readonly storage: StorageLayout;
  readonly incoming: string;
  readonly model: string;
  readonly mlflowUrl: string;
  /** How long a finished run waits for MLflow before its task fails, to be tried again. */
  readonly mlflowPatienceMs: number;
  readonly dvc: string;
  readonly dvcRemoteUrl: string;
  /** Of the server's version or newer: it dumps the registry's database before a migration. */
  readonly pgDump: string;
  /** Any Python 3: it reads the SQLite registry of an earlier Airloom. */
  readonly python: string;
}

const wanted = (name: string): string => {
  const value = process.env[name];
  if (!value)
    throw new TerminalError(
      `the environment variable ${name} is not set for Airflow's workers: start Airflow with \`npm start\` or compose.yaml, or set it as they do`,
    );
  return value;
};

export function platformSettings(): PlatformSettings {
  const storage = storageLayout(wanted("STORAGE_DIR"));
  return {
    storage,
    incoming: wanted("INCOMING_DIR"),
    model: wanted("MODEL_DIR"),
    mlflowUrl: wanted("MLFLOW_TRACKING_URI"),
    mlflowPatienceMs: Number(process.env["AIRLOOM_MLFLOW_PATIENCE_S"] || 900) * 1000,
    dvc: process.env["AIRLOOM_DVC"] || "dvc",
    dvcRemoteUrl: process.env["DVC_REMOTE_URL"] || path.join(storage.root, ".remote"),
    pgDump: process.env["AIRLOOM_PG_DUMP"] || "pg_dump",
    // Airflow's workers have one.
    python: process.env["AIRLOOM_PYTHON"] || "python3",
  };
}

import { type TaskContext, TerminalError } from "airloom";
import type { RunKey } from "@airloom/dataset-platform/registry/events.ts";
import type { Registry } from "@airloom/dataset-platform/registry/registry.ts";
import { registryUrl } from "./registry-url.ts";
import { type PlatformSettings, platformSettings } from "./settings.ts";

const connectionId = "airloom_registry";
const variable = "AIRLOOM_REGISTRY_URL";

/** Where the registry's database is: Airflow's connection, or the variable where there is none. */
async function findUrl({ getConnection }: Pick<TaskContext, "getConnection">): Promise<string> {
  const connection = await getConnection(connectionId);
  if (connection?.host) return registryUrl(connection);
  const url = process.env[variable];
  if (url) return url;
  throw new TerminalError(
    `it is not known where the registry's database is: Airflow has no connection "${connectionId}" (type postgres, with host, login, password and the database as schema), and ${variable} is not set. \`npm start\` and compose.yaml make the connection`,
  );
}

/**
 * Runs `work` with the registry open. What no retry can mend ends the task at once: another storage folder, a newer registry,
 * a batch that is another run's. The database driver is loaded only here, so that compiling DAGs stays fast.
 */
export async function withRegistry<T>(
  context: Pick<TaskContext, "getConnection" | "log">,
  work: (registry: Registry, settings: PlatformSettings) => Promise<T>,
): Promise<T> {
  const settings = platformSettings();
  const url = await findUrl(context);
  const [{ Registry, WrongStorage }, { NewerRegistry }, { BatchGone }, { BadClassName }] = await Promise.all([
    import("@airloom/dataset-platform/registry/registry.ts"),
    import("@airloom/dataset-platform/registry/migrate.ts"),
    import("@airloom/dataset-platform/registry/batches.ts"),
    import("@airloom/dataset-platform/registry/classes.ts"),
  ]);
  try {
    const registry = await Registry.open({
      url,
      storage: settings.storage,
      pgDump: settings.pgDump,
      python: settings.python,
      say: (line) => context.log.info(line),
    });
    try {
      return await work(registry, settings);
    } finally {
      await registry.close();
    }
  } catch (error) {
    const hopeless = [WrongStorage, NewerRegistry, BatchGone, BadClassName].some((kind) => error instanceof kind);
    throw hopeless ? new TerminalError((error as Error).message, { cause: error }) : error;
  }
}

/** Which task of which run this is, as the registry writes it down. */
export const runKeyOf = ({ dagId, runId, taskId, mapIndex }: TaskContext["run"]): RunKey => ({ dagId, runId, taskId, mapIndex });

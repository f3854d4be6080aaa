import { type TaskContext, TerminalError } from "airloom";
import type { CvatClient } from "@airloom/dataset-platform/cvat/client.ts";

/** A client for the CVAT that Airflow's connection `cvat_default` names. A login makes it Basic, none a personal token. */
export async function connectCvat({ getConnection, signal }: TaskContext): Promise<CvatClient> {
  const connection = await getConnection("cvat_default");
  if (!connection?.host || !connection.password)
    throw new TerminalError(
      'Airflow has no connection "cvat_default" with host and password: set CVAT_URL and its log-in in .env, or let npm start begin the labeler',
    );
  const { CvatClient: Client } = await import("@airloom/dataset-platform/cvat/client.ts");
  const url = connection.host.replace(/\/+$/, "");
  const auth = connection.login ? { user: connection.login, password: connection.password } : { token: connection.password };
  return new Client({ url, auth }, signal);
}

/** An error for the task: one that no retry can mend becomes terminal. */
export function taskError(error: unknown): unknown {
  const permanent = error instanceof Error && error.name === "CvatError" && !(error as Error & { temporary: boolean }).temporary;
  return permanent ? new TerminalError(error.message, { cause: error }) : error;
}

import { type TaskContext, TerminalError } from "airloom";
import type { CvatClient } from "@airloom/dataset-platform/cvat/client.ts";

/**
 * Runs `work` with a client for the CVAT that Airflow's connection `cvat_default` names; a login makes it Basic, none a personal
 * token, and `organization` in its extra an organisation of CVAT. What no retry can mend ends the task at once.
 */
export async function withCvat<T>(
  { getConnection, signal }: Pick<TaskContext, "getConnection" | "signal">,
  work: (cvat: CvatClient) => Promise<T>,
): Promise<T> {
  const connection = await getConnection("cvat_default");
  if (!connection?.host || !connection.password)
    throw new TerminalError(
      'Airflow has no connection "cvat_default" with host and password: set CVAT_URL and its log-in in .env, or let npm start begin the labeler',
    );
  const [{ CvatClient: Client, CvatError }, { UnusableLabels }, { OtherPictures }] = await Promise.all([
    import("@airloom/dataset-platform/cvat/client.ts"),
    import("@airloom/dataset-platform/cvat/prepare-project.ts"),
    import("@airloom/dataset-platform/cvat/store-annotations.ts"),
  ]);
  const url = connection.host.replace(/\/+$/, "");
  const auth = connection.login ? { user: connection.login, password: connection.password } : { token: connection.password };
  const { organization } = connection.extra ?? {};
  try {
    return await work(new Client({ url, auth, organization: typeof organization === "string" ? organization : undefined }, signal));
  } catch (error) {
    const hopeless = (error instanceof CvatError && !error.mayPass) || error instanceof UnusableLabels || error instanceof OtherPictures;
    throw hopeless ? new TerminalError(error.message, { cause: error }) : error;
  }
}

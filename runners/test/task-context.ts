// A task's context, as Airflow would give it, with a labeler and a registry of a test's own.
import type { Connection, DagRunState, TaskContext } from "airloom";

export interface ContextOptions {
  readonly registryUrl: string;
  readonly cvat?: { readonly url: string; readonly user: string; readonly password: string };
  readonly runId?: string;
  readonly dagId?: string;
  readonly taskId?: string;
  readonly tryNumber?: number;
  /** When the run was to begin: another where a run of this id was deleted before. */
  readonly runAfter?: string;
  /** How runs stand, by "dagId/runId". A function may fail, as an Airflow does that cannot be asked. */
  readonly runStates?: Readonly<Record<string, DagRunState>> | (() => never);
}

/** The connection that Airflow makes of AIRFLOW_CONN_AIRLOOM_REGISTRY. */
export function connectionOf(text: string): Connection {
  const { hostname, port, username, password, pathname } = new URL(text);
  const [host, login, secret] = [hostname, username, password].map((part) => decodeURIComponent(part) || null);
  return {
    type: "postgres",
    host: host!,
    login: login!,
    password: secret!,
    port: Number(port || 5432),
    schema: decodeURIComponent(pathname.slice(1)),
    extra: {},
  };
}

export function taskContext(options: ContextOptions): TaskContext & { readonly lines: string[] } {
  const lines: string[] = [];
  const note = (line: string) => void lines.push(line);
  const { registryUrl, cvat, runStates = {} } = options;
  const connections: Readonly<Record<string, Partial<Connection>>> = {
    airloom_registry: connectionOf(registryUrl),
    ...(cvat && { cvat_default: { host: cvat.url, login: cvat.user, password: cvat.password } }),
  };
  const context = {
    log: { info: note, warn: note, error: note, debug: note },
    signal: new AbortController().signal,
    run: {
      dagId: options.dagId ?? "labeling_pipeline",
      runId: options.runId ?? "manual__1",
      taskId: options.taskId ?? "task",
      tryNumber: options.tryNumber ?? 1,
      runAfter: options.runAfter ?? "2026-01-01T00:00:00.000Z",
      mapIndex: -1,
    },
    getConnection: async (id: string) => connections[id],
    getRunState: async (dagId: string, runId: string) => (typeof runStates === "function" ? runStates() : runStates[`${dagId}/${runId}`]),
    lines,
  };
  return context as unknown as TaskContext & { readonly lines: string[] };
}

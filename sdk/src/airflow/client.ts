import { ApiError, Fetcher } from "openapi-typescript-fetch";
import type { components, paths } from "./schema.d.ts";

type Schemas = components["schemas"];
export type DagRun = Schemas["DAGRunResponse"];
export type TaskInstance = Schemas["TaskInstanceResponse"];

/** Airflow refused or could not be reached. */
export class AirflowApiError extends Error {
  override readonly name = "AirflowApiError";
  /** HTTP status; 0 where there was no answer. */
  readonly status: number;
  constructor(message: string, status: number, options?: ErrorOptions) {
    super(message, options);
    this.status = status;
  }
}

export interface AirflowAccess {
  /** Such as http://localhost:8081. */
  readonly url: string;
  readonly user: string;
  readonly password: string;
}

/** What a person answers a human-in-the-loop task. */
export interface HumanAnswer {
  readonly chosenOptions: readonly string[];
  readonly params?: Readonly<Record<string, unknown>>;
}

/** A token is asked for again when it is older than this; Airflow's own live a day. */
const tokenAgeMs = 3600_000;
const ended = ["success", "failed"];

/** The part of Airflow's REST API that triggers runs and follows them. */
export class AirflowClient {
  readonly #fetcher = Fetcher.for<paths>();
  readonly #access: AirflowAccess;
  #token: { readonly value: string; readonly at: number } | undefined;

  constructor(access: AirflowAccess) {
    this.#access = access;
    this.#fetcher.configure({
      baseUrl: access.url.replace(/\/+$/, ""),
      use: [
        async (url, init, next) => {
          init.headers.set("Authorization", `Bearer ${await this.#freshToken()}`);
          return next(url, init);
        },
      ],
    });
  }

  /** Whether Airflow knows a DAG yet: the DAG processor needs a moment for a new file. */
  async hasDag(dagId: string): Promise<boolean> {
    const get = this.#fetcher.path("/api/v2/dags/{dag_id}").method("get").create();
    return this.#call(`look up ${dagId}`, async () => (await get({ dag_id: dagId })).ok).catch((error: unknown) => {
      if (error instanceof AirflowApiError && error.status === 404) return false;
      throw error;
    });
  }

  /** Waits until Airflow knows all of these DAGs; throws after `timeoutMs`. */
  async waitForDags(dagIds: readonly string[], timeoutMs = 240_000): Promise<void> {
    for (const deadline = Date.now() + timeoutMs; ;) {
      // One after the other: a new Airflow on SQLite refuses many at once.
      let missing = dagIds;
      while (missing.length > 0 && (await this.hasDag(missing[0]!))) missing = missing.slice(1);
      if (missing.length === 0) return;
      if (Date.now() > deadline) throw new AirflowApiError(`Airflow does not show ${missing.join(", ")}: see the DAG processor's log`, 404);
      await new Promise((resolve) => setTimeout(resolve, 1000));
    }
  }

  /** Starts a run. Airflow checks `conf` against the DAG's params; a wrong one is a 400 that says why. */
  async trigger(dagId: string, conf: Readonly<Record<string, unknown>>): Promise<DagRun> {
    const post = this.#fetcher.path("/api/v2/dags/{dag_id}/dagRuns").method("post").create();
    // Without a logical date two runs can begin in the same moment.
    return this.#call(`trigger ${dagId}`, async () => (await post({ dag_id: dagId, logical_date: null, conf })).data);
  }

  async dagRun(dagId: string, runId: string): Promise<DagRun> {
    const get = this.#fetcher.path("/api/v2/dags/{dag_id}/dagRuns/{dag_run_id}").method("get").create();
    return this.#call(`look up run ${runId}`, async () => (await get({ dag_id: dagId, dag_run_id: runId })).data);
  }

  async taskInstances(dagId: string, runId: string): Promise<TaskInstance[]> {
    const get = this.#fetcher.path("/api/v2/dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances").method("get").create();
    return this.#call(`list the tasks of ${runId}`, async () => (await get({ dag_id: dagId, dag_run_id: runId, limit: 1000 })).data.task_instances);
  }

  /** A task's result in a run: parsed JSON. */
  async xcom(dagId: string, runId: string, taskId: string, key = "return_value"): Promise<unknown> {
    const get = this.#fetcher.path("/api/v2/dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances/{task_id}/xcomEntries/{xcom_key}").method("get").create();
    const parameters = { dag_id: dagId, dag_run_id: runId, task_id: taskId, xcom_key: key, deserialize: true };
    return this.#call(`read the result of ${taskId}`, async () => ((await get(parameters)).data as { value: unknown }).value);
  }

  /** The log of one try of a task, as lines of text. */
  async taskLog(dagId: string, runId: string, taskId: string, tryNumber: number): Promise<string[]> {
    const url = `${this.#access.url}/api/v2/dags/${encodeURIComponent(dagId)}/dagRuns/${encodeURIComponent(runId)}/taskInstances/${encodeURIComponent(taskId)}/logs/${tryNumber}?map_index=-1`;
    return this.#call(`read the log of ${taskId}`, async () => {
      // The generated types know only the streamed form of this answer.
      const response = await fetch(url, { headers: { Authorization: `Bearer ${await this.#freshToken()}`, Accept: "application/json" } });
      const { content } = (await response.json()) as { content?: ({ event?: string } | string)[] };
      return (content ?? []).map((line) => (typeof line === "string" ? line : (line.event ?? "")));
    });
  }

  /** Answers a task that waits for a person: which options, and what was filled in. A task that does not wait is an error; within the first seconds Airflow may lose the answer. */
  async answer(dagId: string, runId: string, taskId: string, { chosenOptions, params = {} }: HumanAnswer): Promise<void> {
    const patch = this.#fetcher.path("/api/v2/dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances/{task_id}/{map_index}/hitlDetails").method("patch").create();
    const body = { dag_id: dagId, dag_run_id: runId, task_id: taskId, map_index: -1, chosen_options: [...chosenOptions], params_input: { ...params } };
    await this.#call(`answer ${taskId}`, () => patch(body));
  }

  async importErrors(): Promise<{ filename: string; stack_trace: string }[]> {
    const get = this.#fetcher.path("/api/v2/importErrors").method("get").create();
    return this.#call("list import errors", async () => (await get({})).data.import_errors);
  }

  /** Waits for the end of a run and gives it; `onChange` is called with the tasks whenever a state has changed. */
  async waitForRun(
    dagId: string,
    runId: string,
    options: { onChange?: (tasks: readonly TaskInstance[]) => void; signal?: AbortSignal; pollMs?: number } = {},
  ): Promise<DagRun> {
    let shown = "";
    for (;;) {
      options.signal?.throwIfAborted();
      const [run, tasks] = [await this.dagRun(dagId, runId), await this.taskInstances(dagId, runId)];
      const states = tasks.map((task) => `${task.task_id}=${task.state}`).join();
      if (states !== shown) options.onChange?.(tasks);
      shown = states;
      if (ended.includes(run.state)) return run;
      await new Promise((resolve) => setTimeout(resolve, options.pollMs ?? 1000));
    }
  }

  async #freshToken(): Promise<string> {
    if (this.#token && Date.now() - this.#token.at < tokenAgeMs) return this.#token.value;
    const { url, user, password } = this.#access;
    const value = await this.#call(`log in as ${user}`, async () => {
      // Log-in belongs to the auth manager, and stands in no specification.
      const body = JSON.stringify({ username: user, password });
      const response = await fetch(`${url.replace(/\/+$/, "")}/auth/token`, { method: "POST", headers: { "Content-Type": "application/json" }, body });
      if (!response.ok) throw new AirflowApiError(`Airflow refused the log-in of ${user} (${response.status}): is the password right?`, response.status);
      return ((await response.json()) as { access_token: string }).access_token;
    });
    this.#token = { value, at: Date.now() };
    return value;
  }

  async #call<T>(what: string, call: () => Promise<T>): Promise<T> {
    try {
      return await call();
    } catch (cause) {
      if (cause instanceof AirflowApiError) throw cause;
      if (cause instanceof ApiError) throw new AirflowApiError(`Airflow could not ${what}: ${cause.status} ${detailOf(cause.data)}`, cause.status, { cause });
      const inner = (cause as { cause?: Error }).cause ?? (cause as Error);
      throw new AirflowApiError(`Airflow at ${this.#access.url} cannot be reached (${inner.message}): is it running?`, 0, { cause });
    }
  }
}

function detailOf(data: unknown): string {
  const detail = (data as { detail?: unknown } | undefined)?.detail ?? data;
  return typeof detail === "string" ? detail : JSON.stringify(detail);
}

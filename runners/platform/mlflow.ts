import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import path from "node:path";
import axios, { AxiosError, type AxiosInstance } from "axios";

/** MLflow refused, or could not be reached for all attempts. Holds none of the request, which may be large. */
export class MlflowError extends Error {
  override readonly name = "MlflowError";
  /** MLflow's own code, such as RESOURCE_ALREADY_EXISTS; undefined where it did not answer. */
  readonly code: string | undefined;
  constructor(message: string, code: string | undefined) {
    super(message);
    this.code = code;
  }
}

export interface Metric {
  readonly key: string;
  readonly value: number;
  readonly step: number;
  /** Milliseconds since 1970. A repeated call with the same one adds nothing. */
  readonly timestamp: number;
}

const timeoutMs = 60_000;
const defaultAttempts = 6;
/** MLflow's own limits for one call of log-batch. */
const maxMetrics = 1000;
const maxParams = 100;

/** A client for MLflow's REST API 2.0: runs, artifacts and the model registry. Failed calls are repeated for about a minute. */
export class MlflowClient {
  readonly #http: AxiosInstance;
  readonly #attempts: number;
  readonly url: string;

  /** @param attempts of each call before it fails; a spool needs but one, it comes again by itself */
  constructor(url: string, attempts = defaultAttempts) {
    this.#attempts = attempts;
    this.url = url.replace(/\/+$/, "");
    // Following redirects would make axios keep the whole body of an upload in memory.
    this.#http = axios.create({ baseURL: this.url, timeout: timeoutMs, maxRedirects: 0, maxBodyLength: Infinity });
  }

  async findOrCreateExperiment(name: string): Promise<string> {
    const found = await this.#api<{ experiment: { experiment_id: string } }>(
      "get",
      `experiments/get-by-name?experiment_name=${encodeURIComponent(name)}`,
    ).catch(ignore("RESOURCE_DOES_NOT_EXIST"));
    if (found) return found.experiment.experiment_id;
    const made = await this.#api<{ experiment_id: string }>("post", "experiments/create", { name }).catch(ignore("RESOURCE_ALREADY_EXISTS"));
    return made?.experiment_id ?? this.findOrCreateExperiment(name);
  }

  async createRun(experimentId: string, name: string, tags: Readonly<Record<string, string>>): Promise<string> {
    const body = { experiment_id: experimentId, run_name: name, start_time: Date.now(), tags: pairs(tags) };
    return (await this.#api<{ run: { info: { run_id: string } } }>("post", "runs/create", body)).run.info.run_id;
  }

  async setStatus(runId: string, status: "RUNNING" | "FINISHED" | "FAILED" | "KILLED"): Promise<void> {
    await this.#api("post", "runs/update", { run_id: runId, status, ...(status !== "RUNNING" && { end_time: Date.now() }) });
  }

  async logParams(runId: string, params: Readonly<Record<string, string | number | boolean>>): Promise<void> {
    const all = pairs(params);
    for (let i = 0; i < all.length; i += maxParams) await this.#api("post", "runs/log-batch", { run_id: runId, params: all.slice(i, i + maxParams) });
  }

  async logMetrics(runId: string, metrics: readonly Metric[]): Promise<void> {
    // JSON has no NaN: MLflow takes it as text.
    const all = metrics.map((metric) => ({ ...metric, value: Number.isFinite(metric.value) ? metric.value : String(metric.value) }));
    for (let i = 0; i < all.length; i += maxMetrics) await this.#api("post", "runs/log-batch", { run_id: runId, metrics: all.slice(i, i + maxMetrics) });
  }

  async setTag(runId: string, key: string, value: string): Promise<void> {
    await this.#api("post", "runs/set-tag", { run_id: runId, key, value });
  }

  /** Names the dataset that a run used; `digest` has at most 36 characters. */
  async logDataset(runId: string, { name, digest, source }: { name: string; digest: string; source: string }): Promise<void> {
    const dataset = { name, digest: digest.slice(0, 36), source_type: "dvc", source };
    await this.#api("post", "runs/log-inputs", { run_id: runId, datasets: [{ dataset, tags: [{ key: "mlflow.data.context", value: "training" }] }] });
  }

  /** Uploads a file as an artifact of a run, under `folder`. */
  async logArtifact(experimentId: string, runId: string, file: string, folder = ""): Promise<void> {
    await this.#upload(`${experimentId}/${runId}/artifacts/${folder ? `${folder}/` : ""}${path.basename(file)}`, file);
  }

  /** Records a model of a run with its files, and returns its id. */
  async logModel(experimentId: string, runId: string, name: string, files: readonly string[]): Promise<string> {
    const body = { experiment_id: experimentId, name, source_run_id: runId, model_type: "detection" };
    const { model } = await this.#api<{ model: { info: { model_id: string; artifact_uri: string } } }>("post", "logged-models", body);
    const { model_id, artifact_uri } = model.info;
    const at = artifact_uri.replace(/^mlflow-artifacts:\/+/, "");
    for (const file of files) await this.#upload(`${at}/${path.basename(file)}`, file);
    await this.#api("patch", `logged-models/${model_id}`, { model_id, status: "LOGGED_MODEL_READY" });
    await this.#api("post", "runs/outputs", { run_id: runId, models: [{ model_id, step: 0 }] });
    return model_id;
  }

  /** A new version of a registered model, which is made on first use; returns the version. */
  async registerModel(name: string, modelId: string, runId: string): Promise<string> {
    await this.#api("post", "registered-models/create", { name }).catch(ignore("RESOURCE_ALREADY_EXISTS"));
    const body = { name, source: `models:/${modelId}`, model_id: modelId, run_id: runId };
    return (await this.#api<{ model_version: { version: string } }>("post", "model-versions/create", body)).model_version.version;
  }

  async setAlias(name: string, version: string, alias: string): Promise<void> {
    await this.#api("post", "registered-models/alias", { name, alias, version });
  }

  async setVersionTag(name: string, version: string, key: string, value: string): Promise<void> {
    await this.#api("post", "model-versions/set-tag", { name, version, key, value });
  }

  async #upload(place: string, file: string): Promise<void> {
    const { size } = await stat(file);
    const url = `/api/2.0/mlflow-artifacts/artifacts/${place.split("/").map(encodeURIComponent).join("/")}`;
    await this.#retry(`upload ${path.basename(file)}`, () =>
      this.#http.put(url, createReadStream(file), { headers: { "Content-Type": "application/octet-stream", "Content-Length": size } }),
    );
  }

  async #api<T = unknown>(method: "get" | "post" | "patch", call: string, data?: unknown): Promise<T> {
    return this.#retry(call.split("?")[0]!, async () => (await this.#http.request<T>({ method, url: `/api/2.0/mlflow/${call}`, data })).data);
  }

  async #retry<T>(what: string, call: () => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await call();
      } catch (error) {
        const { failure, temporary } = describe(error, what, this.url);
        if (!temporary || attempt >= this.#attempts) throw failure;
        await new Promise((resolve) => setTimeout(resolve, 500 * 2 ** attempt * (0.5 + Math.random())));
      }
    }
  }
}

const pairs = (values: Readonly<Record<string, string | number | boolean>>) => Object.entries(values).map(([key, value]) => ({ key, value: String(value) }));

function ignore(code: string) {
  return (error: unknown): undefined => {
    if (error instanceof MlflowError && error.code === code) return undefined;
    throw error;
  };
}

function describe(error: unknown, what: string, url: string): { failure: Error; temporary: boolean } {
  if (!(error instanceof AxiosError)) return { failure: error as Error, temporary: false };
  const status = error.response?.status;
  const body = error.response?.data as { error_code?: string; message?: string } | string | undefined;
  const said = typeof body === "object" ? body?.message : body;
  const reason = status ? `answered ${status}: ${(said ?? "").slice(0, 500)}` : `cannot be reached (${error.code ?? error.message})`;
  const failure = new MlflowError(`MLflow at ${url} ${reason} [${what}]`, typeof body === "object" ? body?.error_code : undefined);
  return { failure, temporary: status === undefined || status === 429 || status >= 500 };
}

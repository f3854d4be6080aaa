import { readFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { z } from "zod";

/** Where a CVAT is and who we are to it. */
export interface CvatAccess {
  readonly url: string;
  /** User and password, or a personal access token. */
  readonly auth: { readonly user: string; readonly password: string } | { readonly token: string };
  /** The organisation, by its short name, in which projects are looked for and made; none is the user's own sandbox. */
  readonly organization?: string | undefined;
}

/** CVAT refused or could not be reached. `status` is 0 where there was no answer. */
export class CvatError extends Error {
  override readonly name = "CvatError";
  readonly status: number;
  /** Whether CVAT itself says so, in the form of its errors; a proxy that stands before it has pages of its own. */
  readonly isCvats: boolean;
  constructor(message: string, status: number, options: ErrorOptions & { readonly isCvats?: boolean } = {}) {
    super(message, options);
    this.status = status;
    this.isCvats = options.isCvats ?? false;
  }
  /** Whether the same call may go through later. */
  get temporary(): boolean {
    return this.status === 0 || this.status === 429 || this.status >= 500;
  }
  /** Whether a later try of the whole task may go through: a "not found" that is not CVAT's own comes from a proxy before it. */
  get mayPass(): boolean {
    return this.temporary || (this.status === 404 && !this.isCvats);
  }
}

const page = <T extends z.ZodType>(item: T) => z.object({ next: z.string().nullable(), results: z.array(item) });
const projectSchema = z.object({ id: z.number(), name: z.string() });
const labelSchema = z.object({ id: z.number(), name: z.string(), type: z.string().default("any") });
const taskSchema = z.object({ id: z.number(), name: z.string(), size: z.number().nullish(), project_id: z.number().nullish() });
const jobSchema = z.object({
  id: z.number(),
  stage: z.string(),
  state: z.string(),
  /** annotation, ground_truth or consensus_replica. */
  type: z.string().default("annotation"),
  assignee: z.object({ username: z.string() }).nullish(),
  /** First and last frame. */
  start_frame: z.number().nullish(),
  stop_frame: z.number().nullish(),
});
const requestSchema = z.object({ status: z.string(), message: z.string().nullish() });
const metaSchema = z.object({
  frames: z.array(z.object({ name: z.string(), width: z.number(), height: z.number() })),
  /** Numbers of frames that a person has removed; they are among `frames` all the same. */
  deleted_frames: z.array(z.number()).default([]),
});
const annotationsSchema = z.object({
  shapes: z.array(
    z.object({
      type: z.string(),
      frame: z.number(),
      label_id: z.number(),
      points: z.array(z.number()).readonly(),
      rotation: z.number().default(0),
      /** manual, auto (a program's), or semi-auto (a program's, changed by a person). */
      source: z.string().default("manual"),
      /** Of a skeleton: its points, each a shape of its own; those "outside" are not there. */
      elements: z.array(z.object({ points: z.array(z.number()).readonly().default([]), outside: z.boolean().default(false) })).default([]),
    }),
  ),
  tracks: z.array(
    z.object({
      frame: z.number(),
      label_id: z.number(),
      source: z.string().default("manual"),
      /** At key frames; CVAT draws what lies between. */
      shapes: z
        .array(
          z.object({
            frame: z.number(),
            type: z.string().default(""),
            points: z.array(z.number()).readonly().default([]),
            rotation: z.number().default(0),
            outside: z.boolean().default(false),
          }),
        )
        .default([]),
    }),
  ),
  tags: z.array(z.object({ frame: z.number(), label_id: z.number() })).default([]),
});

export type CvatLabel = z.infer<typeof labelSchema>;
export type CvatTask = z.infer<typeof taskSchema>;
export type CvatJob = z.infer<typeof jobSchema>;
export type CvatFrame = z.infer<typeof metaSchema>["frames"][number] & { readonly deleted: boolean };
export type CvatAnnotations = z.infer<typeof annotationsSchema>;

/** A rectangle to be drawn, in pixels: left, top, right, bottom. */
export interface NewBox {
  readonly frame: number;
  readonly labelId: number;
  readonly points: readonly number[];
  readonly source?: "manual" | "auto" | "semi-auto";
}

/** How long one attempt of a call may take; what carries many bytes gets the time that they need on a slow line besides. */
const defaultTimeoutMs = 60_000;
const slowestBytesPerSecond = 64 * 1024;
/** The longest that CVAT is believed where it says when to come again. */
const longestWaitMs = 120_000;
const uploadBytesPerCall = 32 * 1024 * 1024;
const attempts = 4;

/** A client for the part of CVAT's REST API that the pipelines use. What CVAT answers is checked before it is believed. */
export class CvatClient {
  readonly #access: CvatAccess;
  readonly #signal: AbortSignal | undefined;
  readonly #timeoutMs: number;

  constructor(access: CvatAccess, signal?: AbortSignal, timeoutMs = defaultTimeoutMs) {
    this.#access = access;
    this.#signal = signal;
    this.#timeoutMs = timeoutMs;
  }

  /** Where this CVAT is. */
  get url(): string {
    return this.#access.url;
  }

  /** The page where a person works on a task. */
  taskUrl(id: number): string {
    return `${this.#access.url}/tasks/${id}`;
  }

  /** The projects of exactly that name, the oldest first: CVAT allows several. */
  async findProjects(name: string): Promise<number[]> {
    const found = await this.#list(`/api/projects?name=${encodeURIComponent(name)}`, projectSchema);
    return found
      .filter((project) => project.name === name)
      .map(({ id }) => id)
      .toSorted((a, b) => a - b);
  }

  async createProject(name: string): Promise<number> {
    return (await this.#json("POST", "/api/projects", projectSchema, { name })).id;
  }

  async labels(projectId: number): Promise<CvatLabel[]> {
    return this.#list(`/api/labels?project_id=${projectId}&page_size=100`, labelSchema);
  }

  /** The labels that apply in a task: its project's, or its own. */
  async labelsOfTask(taskId: number): Promise<CvatLabel[]> {
    return this.#list(`/api/labels?task_id=${taskId}&page_size=100`, labelSchema);
  }

  /** Adds labels to a project; the others stay. CVAT refuses all where it has one of them. */
  async addLabels(projectId: number, names: readonly string[]): Promise<void> {
    await this.#json("PATCH", `/api/projects/${projectId}`, projectSchema, { labels: names.map((name) => ({ name })) });
  }

  /** A task by its exact name within a project, or undefined. */
  async tryFindTask(projectId: number, name: string): Promise<CvatTask | undefined> {
    const found = await this.#list(`/api/tasks?project_id=${projectId}&name=${encodeURIComponent(name)}`, taskSchema);
    return found.find((task) => task.name === name);
  }

  async createTask(projectId: number, name: string): Promise<number> {
    return (await this.#json("POST", "/api/tasks", taskSchema, { name, project_id: projectId })).id;
  }

  async deleteTask(id: number): Promise<void> {
    await this.#call("DELETE", `/api/tasks/${id}`);
  }

  /** Uploads pictures under flat, unique names and waits until CVAT has taken them in. */
  async uploadImages(taskId: number, files: readonly { readonly name: string; readonly file: string; readonly bytes: number }[]): Promise<void> {
    const path = `/api/tasks/${taskId}/data/`;
    await this.#call("POST", path, { headers: { "Upload-Start": "true" } });
    let group: typeof files = [];
    const send = async () => {
      if (group.length === 0) return;
      const form = new FormData();
      form.set("image_quality", "100");
      for (const [i, { name, file }] of group.entries()) form.set(`client_files[${i}]`, new Blob([await readFile(file)]), name);
      const bytes = group.reduce((sum, file) => sum + file.bytes, 0);
      await this.#call("POST", path, { headers: { "Upload-Multiple": "true" }, body: form, bytes });
      group = [];
    };
    for (const file of files) {
      if (group.reduce((sum, { bytes }) => sum + bytes, 0) + file.bytes > uploadBytesPerCall) await send();
      group = [...group, file];
    }
    await send();
    const body = { image_quality: 100, sorting_method: "lexicographical", use_cache: true };
    const { rq_id } = await this.#json("POST", path, z.object({ rq_id: z.string() }), body, { "Upload-Finish": "true" });
    await this.#waitForRequest(rq_id, async () => (await this.task(taskId)).size === files.length);
  }

  async task(id: number): Promise<CvatTask> {
    return this.#json("GET", `/api/tasks/${id}`, taskSchema);
  }

  /** A task; undefined only where CVAT itself says that there is none. */
  async tryTask(id: number): Promise<CvatTask | undefined> {
    return this.task(id).catch((error: unknown) => {
      if (error instanceof CvatError && error.status === 404 && error.isCvats) return undefined;
      throw error;
    });
  }

  async jobs(taskId: number): Promise<CvatJob[]> {
    return this.#list(`/api/jobs?task_id=${taskId}&page_size=100`, jobSchema);
  }

  async frames(taskId: number): Promise<CvatFrame[]> {
    const { frames, deleted_frames } = await this.#json("GET", `/api/tasks/${taskId}/data/meta`, metaSchema);
    const deleted = new Set(deleted_frames);
    return frames.map((frame, i) => ({ ...frame, deleted: deleted.has(i) }));
  }

  async annotations(taskId: number): Promise<CvatAnnotations> {
    return this.#json("GET", `/api/tasks/${taskId}/annotations`, annotationsSchema);
  }

  /** Boxes are replaced as a whole. For annotators that are programs. */
  async putBoxes(taskId: number, boxes: readonly NewBox[]): Promise<void> {
    const shapes = boxes.map(({ frame, labelId, points, source = "manual" }) => ({ type: "rectangle", frame, label_id: labelId, points, source }));
    await this.#json("PUT", `/api/tasks/${taskId}/annotations`, z.unknown(), { shapes, tags: [], tracks: [] });
  }

  /** Marks a job as done, as a person does by finishing it. */
  async completeJob(jobId: number): Promise<void> {
    await this.#json("PATCH", `/api/jobs/${jobId}`, jobSchema, { stage: "acceptance", state: "completed" });
  }

  /** `isDone` helps where CVAT has already forgotten a finished request. */
  async #waitForRequest(id: string, isDone: () => Promise<boolean>): Promise<void> {
    for (let waitMs = 200; ; waitMs = Math.min(waitMs * 1.5, 5000)) {
      this.#signal?.throwIfAborted();
      try {
        const { status, message } = await this.#json("GET", `/api/requests/${encodeURIComponent(id)}`, requestSchema);
        if (status === "finished") return;
        if (status === "failed") throw new CvatError(`CVAT could not use the data: ${(message ?? "").trim() || "it gave no reason"}`, 400);
      } catch (error) {
        if (!(error instanceof CvatError && error.status === 404 && (await isDone()))) throw error;
        return;
      }
      await new Promise((resolve) => setTimeout(resolve, waitMs));
    }
  }

  async #list<T extends z.ZodType>(path: string, item: T): Promise<z.infer<T>[]> {
    const all: z.infer<T>[] = [];
    // `next` names the host as CVAT sees itself, which need not be how we reach it: only its query counts.
    for (let next: string | null = path; next;) {
      const answer: { results: z.infer<T>[]; next: string | null } = await this.#json("GET", next, page(item));
      all.push(...answer.results);
      next = answer.next && new URL(answer.next).pathname + new URL(answer.next).search;
    }
    return all;
  }

  async #json<T extends z.ZodType>(method: string, path: string, schema: T, body?: unknown, headers: Record<string, string> = {}): Promise<z.infer<T>> {
    const response = await this.#call(method, path, {
      headers: { ...headers, ...(body === undefined ? {} : { "Content-Type": "application/json" }) },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    try {
      return schema.parse(JSON.parse(text));
    } catch (cause) {
      throw new CvatError(`CVAT's answer to ${method} ${path} is not what was expected: ${text.slice(0, 300)}`, response.status, { cause });
    }
  }

  async #call(method: string, path: string, request: Request = {}): Promise<Response> {
    for (let attempt = 1; ; attempt++) {
      const outcome = await this.#attempt(method, path, request);
      if (outcome instanceof Response) return outcome;
      const { failure, retryAfterMs } = outcome;
      // Only reading is repeated here: a second POST could make a second task. The task's own retries find what is there. What
      // was turned away unread, since too many ask, may be asked again whatever it is.
      const mayRepeat = (method === "GET" && failure.temporary) || failure.status === 429;
      if (!mayRepeat || attempt >= attempts) throw failure;
      await sleep(retryAfterMs ?? 500 * 2 ** attempt, undefined, { signal: this.#signal });
    }
  }

  async #attempt(method: string, path: string, { headers = {}, body, bytes = 0 }: Request): Promise<Response | Failure> {
    const { url, auth, organization } = this.#access;
    const authorization = "token" in auth ? `Bearer ${auth.token}` : `Basic ${Buffer.from(`${auth.user}:${auth.password}`).toString("base64")}`;
    const timeout = AbortSignal.timeout(this.#timeoutMs + Math.ceil((bytes / slowestBytesPerSecond) * 1000));
    const own = { Authorization: authorization, Accept: "application/vnd.cvat+json, */*", ...(organization ? { "X-Organization": organization } : {}) };
    try {
      const response = await fetch(`${url}${path}`, {
        method,
        headers: { ...own, ...headers },
        signal: this.#signal ? AbortSignal.any([timeout, this.#signal]) : timeout,
        ...(body === undefined ? {} : { body }),
      });
      if (response.ok) return response;
      const text = (await response.text()).slice(0, 500);
      const said = `CVAT answered ${response.status} to ${method} ${path}: ${readable(text)}`;
      const retryAfterMs = waitOf(response.headers.get("Retry-After"));
      return { failure: new CvatError(said, response.status, { isCvats: isDetail(text) }), retryAfterMs };
    } catch (cause) {
      this.#signal?.throwIfAborted();
      return { failure: new CvatError(`CVAT at ${url} cannot be reached (${method} ${path}): ${reasonOf(cause)}`, 0, { cause }), retryAfterMs: undefined };
    }
  }
}

interface Request {
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | FormData;
  /** About how many bytes the body has, where they are many. */
  readonly bytes?: number;
}

interface Failure {
  readonly failure: CvatError;
  /** When CVAT says that it is worth asking again. */
  readonly retryAfterMs: number | undefined;
}

/** `Retry-After` in milliseconds from now: seconds, or a date (RFC 9110). */
function waitOf(header: string | null): number | undefined {
  if (header === null) return undefined;
  const ms = /^\d+$/.test(header) ? Number(header) * 1000 : Date.parse(header) - Date.now();
  return Number.isFinite(ms) ? Math.min(Math.max(ms, 0), longestWaitMs) : undefined;
}

function reasonOf(cause: unknown): string {
  const inner = (cause as { cause?: unknown }).cause ?? cause;
  return inner instanceof Error ? inner.message || inner.name : String(inner);
}

/** CVAT says what is not there as `{detail}`. */
function isDetail(text: string): boolean {
  try {
    const body = JSON.parse(text) as unknown;
    return typeof body === "object" && body !== null && "detail" in body;
  } catch {
    return false;
  }
}

/** CVAT's errors come as `{detail}`, as a map of fields, as a list, as text or as a page. */
function readable(text: string): string {
  try {
    const body = JSON.parse(text) as unknown;
    if (Array.isArray(body)) return body.join("; ");
    if (typeof body === "object" && body !== null && "detail" in body) return String(body.detail);
    return Object.entries(body as Record<string, unknown>)
      .map(([field, why]) => `${field}: ${String(why)}`)
      .join("; ");
  } catch {
    return (
      text
        .replace(/<[^>]*>/g, " ")
        .replace(/\s+/g, " ")
        .trim() || "no reason given"
    );
  }
}

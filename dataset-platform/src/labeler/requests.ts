import type { Request } from "express";
import { baseUrl, HttpError } from "./http.ts";
import type { Task } from "./state.ts";

interface Operation {
  readonly type: string;
  readonly target: "project" | "task" | "job";
  readonly task: Pick<Task, "id" | "projectId"> | undefined;
  readonly project?: number;
  readonly job?: number;
  readonly format: string | null;
}

interface Entry {
  readonly operation: Operation;
  status: "started" | "finished" | "failed";
  message: string;
  readonly created: string;
  finished: string | null;
  /** Path of the result, for exports. */
  readonly resultPath: string | null;
}

/** How long a finished request is still known. */
const keepMs = { "create:task": 500_000, other: 24 * 3600_000 };

/** Background work and its state, under the ids that CVAT gives: target, user and format, so not unique. */
export class RequestLog {
  readonly #entries = new Map<string, Entry>();
  readonly #user: string;

  constructor(user: string) {
    this.#user = user;
  }

  /** Starts work under an id and returns the id; 409 where the same is still running. */
  run(operation: Operation, id: string, resultPath: string | null, work: () => Promise<void>): string {
    this.#forgetOld();
    if (this.#entries.get(id)?.status === "started") throw new HttpError(409, { rq_id: id });
    const entry: Entry = { operation, status: "started", message: "", created: new Date().toISOString(), finished: null, resultPath };
    this.#entries.set(id, entry);
    const end = (status: Entry["status"], message: string) => Object.assign(entry, { status, message, finished: new Date().toISOString() });
    work().then(
      () => end("finished", ""),
      (error: unknown) => end("failed", error instanceof Error ? error.message : String(error)),
    );
    return id;
  }

  view(req: Request, id: string) {
    const entry = this.#entries.get(id);
    if (!entry) throw new HttpError(404, "There is no request with specified id");
    const { operation, status, message, created, finished, resultPath } = entry;
    return {
      status,
      message,
      id,
      operation: {
        type: operation.type,
        target: operation.target,
        project_id: operation.project ?? operation.task?.projectId ?? null,
        task_id: operation.task?.id ?? null,
        job_id: operation.job ?? null,
        org_id: null,
        format: operation.format,
        lightweight: null,
      },
      progress: 0,
      created_date: created,
      started_date: created,
      finished_date: finished,
      expiry_date: finished && new Date(Date.parse(finished) + keepFor(entry)).toISOString(),
      owner: { id: 1, username: this.#user },
      result_url: status === "finished" && resultPath ? `${baseUrl(req)}${resultPath}` : null,
      result_id: null,
    };
  }

  all(req: Request) {
    this.#forgetOld();
    return [...this.#entries.keys()].toReversed().map((id) => this.view(req, id));
  }

  #forgetOld(): void {
    for (const [id, entry] of this.#entries) if (entry.finished && Date.parse(entry.finished) + keepFor(entry) < Date.now()) this.#entries.delete(id);
  }
}

const keepFor = (entry: Entry) => (entry.operation.type === "create:task" && entry.status === "finished" ? keepMs["create:task"] : keepMs.other);

import type { NextFunction, Request, RequestHandler, Response } from "express";

/** An answer that is not a success, in one of the forms that CVAT uses. */
export class HttpError extends Error {
  readonly status: number;
  readonly body: unknown;
  readonly headers: Readonly<Record<string, string>>;

  constructor(status: number, body: unknown, headers: Readonly<Record<string, string>> = {}) {
    super(JSON.stringify(body));
    this.status = status;
    this.body = body;
    this.headers = headers;
  }
}

/** 404 as CVAT words it. */
export const notFound = (kind: "Project" | "Task" | "Job" | "Label"): HttpError => new HttpError(404, { detail: `No ${kind} matches the given query.` });

export const vendorType = "application/vnd.cvat+json";

/** Sends JSON under CVAT's own media type. */
export function sendJson(res: Response, body: unknown, status = 200): void {
  res.status(status).type(vendorType).send(JSON.stringify(body));
}

/** The server's own address as the client reached it; it stands in the `url` fields. */
export const baseUrl = (req: Request): string => `${req.protocol}://${req.get("host") ?? "localhost"}`;

/** Runs a handler whose errors go to the error middleware. */
export function route(handler: (req: Request, res: Response) => Promise<void> | void): RequestHandler {
  return async (req: Request, res: Response, next: NextFunction) => {
    try {
      await handler(req, res);
    } catch (error) {
      next(error);
    }
  };
}

/** A query parameter as text, or undefined. */
export function query(req: Request, name: string): string | undefined {
  const value = req.query[name];
  return typeof value === "string" && value !== "" ? value : undefined;
}

/** A positive whole number of the path; 404 for anything else, as a router with typed paths answers. */
export function idOf(req: Request): number {
  const id = Number(req.params["id"]);
  if (!Number.isSafeInteger(id) || id < 1) throw new HttpError(404, { detail: "Not found." });
  return id;
}

/** One page of a list, as Django REST framework gives it. */
export function sendPage(req: Request, res: Response, all: readonly unknown[]): void {
  const size = Math.min(500, Math.max(1, Number(query(req, "page_size") ?? 10) || 10));
  const page = Number(query(req, "page") ?? 1);
  const pages = Math.max(1, Math.ceil(all.length / size));
  if (!Number.isInteger(page) || page < 1 || page > pages) throw new HttpError(404, { detail: "Invalid page." });
  const link = (to: number) => {
    const url = new URL(`${baseUrl(req)}${req.originalUrl}`);
    if (to === 1) url.searchParams.delete("page");
    else url.searchParams.set("page", String(to));
    url.searchParams.sort();
    return url.href;
  };
  sendJson(res, {
    count: all.length,
    next: page < pages ? link(page + 1) : null,
    previous: page > 1 ? link(page - 1) : null,
    results: all.slice((page - 1) * size, page * size),
  });
}

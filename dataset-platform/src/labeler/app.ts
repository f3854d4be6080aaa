import { fileURLToPath } from "node:url";
import express, { type ErrorRequestHandler, type Express, type RequestHandler } from "express";
import multer from "multer";
import type { Logger } from "pino";
import { authentication, type Credentials } from "./auth.ts";
import { exportRoutes } from "./exports.ts";
import { baseUrl, HttpError, route, sendJson, vendorType } from "./http.ts";
import { projectRoutes } from "./projects.ts";
import { RequestLog } from "./requests.ts";
import type { LabelerState } from "./state.ts";
import { taskDataRoutes } from "./task-data.ts";
import { taskRoutes } from "./tasks.ts";
import { userView } from "./views.ts";

/** The version of CVAT whose answers these are; its SDK compares it with its own. */
const cvatVersion = "2.73.0";

/** The labeler: the part of CVAT's REST API that the pipelines and CVAT's SDK use, and a page to draw boxes in. */
export function labelerApp(state: LabelerState, credentials: Credentials, log: Logger): Express {
  const app = express();
  app.set("strict routing", true);
  app.disable("x-powered-by");
  const { user } = credentials;
  const auth = authentication(credentials);
  const requests = new RequestLog(user);

  app.use((_req, res, next) => {
    res.set({
      "X-Content-Type-Options": "nosniff",
      "X-Frame-Options": "DENY",
      "Content-Security-Policy": "default-src 'self'; img-src 'self' blob:",
      "Referrer-Policy": "same-origin",
    });
    next();
  });
  app.get("/healthz", (_req, res) => void res.json({ status: "ok" }));
  const page = fileURLToPath(new URL("./page/", import.meta.url));
  app.use(express.static(page));
  // The address of a task that people know from CVAT, and that the pipeline's log gives.
  app.get("/tasks/:id", (_req, res) => res.sendFile(`${page}index.html`));

  app.use("/api", auth.throttle, acceptable, jsonOnly, express.json({ limit: "32mb" }));
  app.get(
    "/api/server/about",
    route((_req, res) =>
      sendJson(res, {
        name: "Airloom labeler",
        description: "Speaks the part of CVAT's REST API that Airloom uses.",
        version: cvatVersion,
        logo_url: "",
        subtitle: "",
      }),
    ),
  );
  app.post("/api/auth/login", auth.login);
  app.use("/api", auth.require);
  app.post(
    "/api/auth/logout",
    route((_req, res) => sendJson(res.clearCookie("sessionid").clearCookie("csrftoken"), { detail: "Successfully logged out." })),
  );
  app.get(
    "/api/users/self",
    route((req, res) =>
      sendJson(res, {
        ...userView({ state, base: baseUrl(req), user }),
        email: "",
        groups: ["admin"],
        is_staff: true,
        is_superuser: true,
        is_active: true,
        last_login: null,
        date_joined: null,
        has_analytics_access: false,
      }),
    ),
  );
  app.use("/api", projectRoutes(state, user), taskRoutes(state, user), taskDataRoutes(state, requests), exportRoutes(state, requests));
  app.use("/api", (req, _res, next) => next(otherMethod(req.method, req.path)));
  app.use((_req, res) => void res.status(404).type("text").send("Not found"));
  app.use(errors(log));
  return app;
}

/** CVAT answers 406 to `Accept: application/json`; so a client that works here works there. */
const acceptable: RequestHandler = (req, _res, next) => {
  const accept = req.get("accept");
  const wanted = (accept ?? "*/*").split(",").map((part) => part.split(";")[0]!.trim());
  const served = [vendorType, "*/*", "application/*", "text/html", "image/*", "application/zip"];
  if (wanted.some((type) => served.includes(type))) return next();
  next(new HttpError(406, { detail: "Could not satisfy the request Accept header." }));
};

const jsonOnly: RequestHandler = (req, _res, next) => {
  const type = req.get("content-type")?.split(";")[0]?.trim();
  const fine = !type || ["application/json", vendorType, "multipart/form-data", "application/offset+octet-stream", "application/octet-stream"].includes(type);
  if (fine) return next();
  next(new HttpError(415, { detail: `Unsupported media type "${type}" in request.` }));
};

/** 405 for a path that exists with another method, else 404. */
function otherMethod(method: string, path: string): HttpError {
  const known = /^\/(projects|tasks|jobs|labels|requests)(\/[^/]+)?$/.test(path);
  return known ? new HttpError(405, { detail: `Method "${method}" not allowed.` }) : new HttpError(404, "<h1>Not Found</h1>");
}

function errors(log: Logger): ErrorRequestHandler {
  return (error: unknown, req, res, next) => {
    if (res.headersSent) return next(error);
    if (error instanceof HttpError) {
      res.set(error.headers);
      if (typeof error.body === "string") return void res.status(error.status).type("text/html").send(error.body);
      return sendJson(res, error.body, error.status);
    }
    if (error instanceof multer.MulterError)
      return sendJson(res, { detail: `${error.message}${error.field ? ` (${error.field})` : ""}` }, error.code === "LIMIT_FILE_SIZE" ? 413 : 400);
    const { status, type } = error as { status?: number; type?: string };
    if (type === "entity.parse.failed") return sendJson(res, { detail: `JSON parse error - ${(error as Error).message}` }, 400);
    if (status && status < 500) return sendJson(res, { detail: (error as Error).message }, status);
    log.error({ err: error, method: req.method, path: req.path }, "request failed");
    res.status(500).type("text/html").send("<h1>Server Error (500)</h1>");
  };
}

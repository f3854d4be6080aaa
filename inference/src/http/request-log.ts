import { randomUUID } from "node:crypto";
import type { RequestHandler, Response } from "express";
import type { Logger } from "pino";

/** Ids that a client may give its request; others are replaced. */
const wellFormed = /^[\w.-]{1,100}$/;

/** Gives each request an id, which the answer and the log carry, and writes a line when it is answered. */
export function requestLog(log: Logger): RequestHandler {
  return (req, res, next) => {
    const asked = req.get("X-Request-Id");
    const id = asked && wellFormed.test(asked) ? asked : randomUUID();
    const own = log.child({ requestId: id });
    res.locals["log"] = own;
    res.set("X-Request-Id", id);
    const started = performance.now();
    res.once("close", () => {
      const ms = Math.round(performance.now() - started);
      // Probes come every few seconds and say nothing.
      const level = req.path.includes("health") || req.path === "/readyz" || req.path === "/metrics" ? "debug" : "info";
      own[level]({ method: req.method, path: req.path.slice(0, 200), status: res.statusCode, ms, whole: res.writableFinished }, "request");
    });
    next();
  };
}

/** The log of an answer's request. */
export const logOf = (res: Response): Logger => res.locals["log"] as Logger;

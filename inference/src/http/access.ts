import { createHash, timingSafeEqual } from "node:crypto";
import type { RequestHandler } from "express";
import { ApiError } from "./api-error.ts";

const digest = (text: string) => createHash("sha256").update(text).digest();

/** Lets only those through who send the key, as `X-API-Key` or as a bearer token; everyone where there is none. */
export function requireKey(key: string | undefined): RequestHandler {
  const expected = key ? digest(key) : undefined;
  return (req, _res, next) => {
    if (!expected) return next();
    const given = req.get("X-API-Key") ?? /^Bearer (.+)$/i.exec(req.get("Authorization") ?? "")?.[1];
    // Digests have one length, so that comparing tells nothing of the key.
    if (given !== undefined && timingSafeEqual(digest(given), expected)) return next();
    throw new ApiError(401, "no_key", "this service wants its API key, as X-API-Key or as Authorization: Bearer", { "WWW-Authenticate": "Bearer" });
  };
}

import { createHash, createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import type { Request, RequestHandler } from "express";
import { HttpError, route, sendJson } from "./http.ts";

export interface Credentials {
  readonly user: string;
  readonly password: string;
}

/** Calls without credentials, log-ins among them, that are answered within a minute. */
const anonymousPerMinute = 100;

const digest = (text: string) => createHash("sha256").update(text).digest();
/** Compares without telling by its time how much agrees. */
const same = (a: string, b: string) => timingSafeEqual(digest(a), digest(b));

/**
 * The token that a log-in gives. It is derived from the password, so it stays good over a restart and ends with a new
 * password, and no table of tokens has to be kept.
 */
export const tokenOf = ({ user, password }: Credentials): string => createHmac("sha256", password).update(`airloom-labeler:${user}`).digest("hex").slice(0, 40);

/** The session that a log-in's cookies stand for: what CVAT's SDK and browsers use. Derived, like the token. */
const sessionOf = ({ user, password }: Credentials): string => createHmac("sha256", password).update(`airloom-session:${user}`).digest("hex").slice(0, 32);

function cookie(req: Request, name: string): string | undefined {
  const found = (req.get("cookie") ?? "").split(/;\s*/).find((part) => part.startsWith(`${name}=`));
  return found?.slice(name.length + 1);
}

/** Log-in, and the check of every other call: `Token`, `Bearer`, `Basic` and the session cookie, as CVAT takes them. */
export function authentication(credentials: Credentials): { login: RequestHandler; require: RequestHandler; throttle: RequestHandler } {
  const token = tokenOf(credentials);
  const session = sessionOf(credentials);
  let windowEnds = 0;
  let anonymous = 0;

  const login = route((req, res) => {
    const { username, password } = (req.body ?? {}) as Record<string, unknown>;
    const fits = typeof username === "string" && typeof password === "string" && same(username, credentials.user) && same(password, credentials.password);
    if (!fits) throw new HttpError(400, { non_field_errors: ["Unable to log in with provided credentials."] });
    const csrf = randomBytes(16).toString("hex");
    res.cookie("sessionid", session, { httpOnly: true, sameSite: "lax", path: "/" }).cookie("csrftoken", csrf, { sameSite: "lax", path: "/" });
    sendJson(res, { key: token });
  });

  const require: RequestHandler = (req, _res, next) => {
    const [scheme = "", value = ""] = (req.get("authorization") ?? "").split(" ");
    const challenge = { "WWW-Authenticate": "Token" };
    if (value === "") {
      if (!same(cookie(req, "sessionid") ?? "", session))
        return next(new HttpError(401, { detail: "Authentication credentials were not provided." }, challenge));
      // A page of another site can make a browser send the cookie, but cannot read it to repeat it in a header.
      const csrf = cookie(req, "csrftoken");
      const safe = ["GET", "HEAD", "OPTIONS"].includes(req.method);
      if (safe || (csrf && same(csrf, req.get("x-csrftoken") ?? ""))) return next();
      return next(new HttpError(403, { detail: csrf ? "CSRF Failed: CSRF token missing or incorrect." : "CSRF Failed: CSRF cookie not set." }));
    }
    const kind = scheme.toLowerCase();
    if ((kind === "token" || kind === "bearer") && same(value, token)) return next();
    if (kind === "basic") {
      const [user, ...password] = Buffer.from(value, "base64").toString().split(":");
      if (same(user ?? "", credentials.user) && same(password.join(":"), credentials.password)) return next();
      return next(new HttpError(401, { detail: "Invalid username/password." }, challenge));
    }
    next(new HttpError(401, { detail: "Invalid token." }, challenge));
  };

  const throttle: RequestHandler = (req, _res, next) => {
    if ((req.get("authorization") || cookie(req, "sessionid")) && !req.originalUrl.startsWith("/api/auth/login")) return next();
    const now = Date.now();
    if (now >= windowEnds) {
      windowEnds = now + 60_000;
      anonymous = 0;
    }
    if (++anonymous <= anonymousPerMinute) return next();
    const seconds = Math.ceil((windowEnds - now) / 1000);
    next(new HttpError(429, { detail: `Request was throttled. Expected available in ${seconds} seconds.` }, { "Retry-After": String(seconds) }));
  };

  return { login, require, throttle };
}

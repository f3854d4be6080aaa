// Writes .env with fresh secrets, or adds what a present .env lacks.
import { randomBytes } from "node:crypto";
import { existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import path from "node:path";
import { root } from "./run.mjs";

const values = {
  // A Fernet key is 32 bytes in URL-safe base64 with its padding.
  AIRFLOW__CORE__FERNET_KEY: () => randomBytes(32).toString("base64").replaceAll("+", "-").replaceAll("/", "_"),
  AIRFLOW__API_AUTH__JWT_SECRET: () => randomBytes(48).toString("base64url"),
  LABELER_PASSWORD: () => randomBytes(15).toString("base64url"),
  POSTGRES_PASSWORD: () => randomBytes(18).toString("base64url"),
  // Not a secret: whom incoming/ and model/ belong to, for the containers that write there. They never run as root.
  AIRLOOM_UID: () => String(process.getuid?.() || 1000),
};

/** The names of the values that were made; what stands in .env already stays as it is. */
export function ensureEnvFile(folder = root) {
  const file = path.join(folder, ".env");
  const before = existsSync(file) ? readFileSync(file, "utf8") : readFileSync(path.join(root, ".env.example"), "utf8");
  const made = [];
  let text = before;
  for (const [name, make] of Object.entries(values)) {
    const line = new RegExp(`^${name}=(.*)$`, "m");
    const present = line.exec(text);
    if (present?.[1]?.trim()) continue;
    made.push(name);
    const value = `${name}=${make()}`;
    text = present ? text.replace(line, () => value) : `${text.trimEnd()}\n${value}\n`;
  }
  if (made.length > 0) {
    writeFileSync(`${file}.tmp`, text, { mode: 0o600 });
    renameSync(`${file}.tmp`, file);
  }
  return made;
}

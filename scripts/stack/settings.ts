import { existsSync, readFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { parse } from "dotenv";
import { type DatabaseName, databaseNames, type DatabaseServer, databaseUrl, parseDatabaseUrl } from "./database-url.ts";

/** The names of the parts that `npm start` can bring up. */
export const partNames = ["postgres", "labeler", "mlflow", "inference", "airflow"] as const;
export type PartName = (typeof partNames)[number];

/** Where everything of one running stack is. The tests run a second one beside a person's own. */
export interface StackSettings {
  readonly root: string;
  /** Databases, logs and state that are not the user's data. */
  readonly home: string;
  readonly host: string;
  readonly ports: Readonly<Record<PartName, number>>;
  readonly storage: string;
  readonly incoming: string;
  readonly model: string;
  /** A CVAT to use in place of the labeler. */
  readonly cvatUrl: string | undefined;
  /** The PostgreSQL that everything is kept in: the one that comes with Airloom, or the one that DATABASE_URL names. */
  readonly database: DatabaseServer;
  /** Whether DATABASE_URL names it. */
  readonly databaseIsForeign: boolean;
  readonly databaseUrls: Readonly<Record<DatabaseName, string>>;
  /** .env beneath the process's own environment. */
  readonly env: Readonly<Record<string, string | undefined>>;
}

const root = fileURLToPath(new URL("../../", import.meta.url));

export function readSettings(overrides: Readonly<Record<string, string>> = {}): StackSettings {
  const file = path.join(root, ".env");
  if (!existsSync(file)) throw new Error(`${file} is missing: run \`npm start\`, which writes it`);
  const env = { ...parse(readFileSync(file)), ...process.env, ...overrides };
  const folder = (name: string, fallback: string) => path.resolve(root, env[name] || fallback);
  const port = (name: string, fallback: number) => {
    const value = Number(env[name] || fallback);
    if (!Number.isInteger(value) || value < 1 || value > 65_535) throw new Error(`${name} is ${env[name]}, which is not a port`);
    return value;
  };
  const ownPort = port("POSTGRES_PORT", 15_432);
  const database: DatabaseServer = env["DATABASE_URL"]
    ? parseDatabaseUrl(env["DATABASE_URL"])
    : { host: "127.0.0.1", port: ownPort, user: "airloom", password: env["POSTGRES_PASSWORD"] ?? "", first: "postgres", sslmode: undefined };
  return {
    root,
    home: folder("AIRLOOM_HOME", ".airloom"),
    host: env["LISTEN_HOST"] || "127.0.0.1",
    ports: {
      postgres: ownPort,
      airflow: port("AIRFLOW_PORT", 8081),
      mlflow: port("MLFLOW_PORT", 5000),
      inference: port("INFERENCE_PORT", 8000),
      labeler: port("LABELER_PORT", 8080),
    },
    storage: folder("STORAGE_DIR", "storage"),
    incoming: folder("INCOMING_DIR", "dataset-platform/incoming"),
    model: folder("MODEL_DIR", "model"),
    cvatUrl: env["CVAT_URL"] || undefined,
    database,
    databaseIsForeign: Boolean(env["DATABASE_URL"]),
    databaseUrls: Object.fromEntries(databaseNames.map((name) => [name, databaseUrl(database, name)])) as Record<DatabaseName, string>,
    env,
  };
}

/** How a browser on this machine reaches a part. */
export const urlOf = ({ ports }: StackSettings, part: PartName): string => `http://localhost:${ports[part]}`;

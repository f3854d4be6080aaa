import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { execa, ExecaError } from "execa";
import { asyncSqlAlchemyUrl, sqlAlchemyUrl } from "./database-url.ts";
import { withConnection } from "./databases.ts";
import { tryFindPrograms } from "./postgres.ts";
import type { StackSettings } from "./settings.ts";

/** The four programs that Airflow is. */
export const airflowPrograms = ["api-server", "scheduler", "dag-processor", "triggerer"] as const;

/** The folder of Airflow's own state. */
const airflowHome = ({ home }: StackSettings) => path.join(home, "airflow");

/** An Airflow connection as the JSON that an AIRFLOW_CONN_ variable takes. */
function cvatConnection({ cvatUrl, ports, env }: StackSettings): string {
  if (!cvatUrl)
    return JSON.stringify({
      conn_type: "http",
      host: `http://127.0.0.1:${ports.labeler}`,
      login: env["LABELER_USER"] || "admin",
      password: env["LABELER_PASSWORD"],
    });
  const token = env["CVAT_TOKEN"];
  const logIn = token ? { password: token } : { login: env["CVAT_USER"], password: env["CVAT_PASSWORD"] };
  const extra = env["CVAT_ORGANIZATION"] ? { extra: { organization: env["CVAT_ORGANIZATION"] } } : {};
  return JSON.stringify({ conn_type: "http", host: cvatUrl, ...logIn, ...extra });
}

/** Where the tasks find the registry, as an Airflow connection. */
function registryConnection({ database: { host, port, user, password, sslmode } }: StackSettings): string {
  return JSON.stringify({ conn_type: "postgres", host, port, login: user, password, schema: "airloom", ...(sslmode ? { extra: { sslmode } } : {}) });
}

/** What DVC's remotes read of a person's environment: log-ins of object stores, an SSH agent, proxies, certificates. */
const remoteVariables = /^(AWS_|GOOGLE_|AZURE_|SSH_AUTH_SOCK$|(https?|no|all)_proxy$|(HTTPS?|NO|ALL)_PROXY$|SSL_CERT_|REQUESTS_CA_BUNDLE$)/;

const remoteAccess = (env: StackSettings["env"]): Record<string, string> =>
  Object.fromEntries(Object.entries(env).flatMap(([name, value]) => (remoteVariables.test(name) && value ? [[name, value]] : [])));

/** The environment of Airflow's programs, and so of the tasks that it starts: Airflow's settings, and where the tasks find things. */
export function airflowEnvironment(settings: StackSettings): Record<string, string> {
  const { env, home, host, ports, root } = settings;
  const url = `http://127.0.0.1:${ports.airflow}`;
  const secret = (name: string) => {
    const value = env[name];
    if (!value) throw new Error(`${name} is not in .env: run \`npm start\`, which adds it`);
    return value;
  };
  return {
    AIRFLOW_HOME: airflowHome(settings),
    AIRFLOW__CORE__DAGS_FOLDER: path.join(root, "generated-dags"),
    AIRFLOW__CORE__LOAD_EXAMPLES: "False",
    AIRFLOW__CORE__EXECUTOR: "LocalExecutor",
    // Each slot of the executor is a process from the start.
    AIRFLOW__CORE__PARALLELISM: "4",
    AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION: "False",
    AIRFLOW__CORE__FERNET_KEY: secret("AIRFLOW__CORE__FERNET_KEY"),
    AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS: `${env["AIRFLOW_USER"] || "admin"}:admin`,
    AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE: path.join(airflowHome(settings), "passwords.json"),
    AIRFLOW__CORE__EXECUTION_API_SERVER_URL: `${url}/execution/`,
    AIRFLOW__API_AUTH__JWT_SECRET: secret("AIRFLOW__API_AUTH__JWT_SECRET"),
    AIRFLOW__API__HOST: host,
    AIRFLOW__API__PORT: String(ports.airflow),
    AIRFLOW__API__BASE_URL: `http://localhost:${ports.airflow}`,
    AIRFLOW__API__WORKERS: "1",
    AIRFLOW__DATABASE__SQL_ALCHEMY_CONN: sqlAlchemyUrl(settings.databaseUrls.airflow),
    AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC: asyncSqlAlchemyUrl(settings.databaseUrls.airflow),
    // With the default of 5 s the supervisor often sleeps that long after a task has ended.
    AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL: "1",
    // A task whose worker is gone, after a restart say, is given up after two minutes, not five.
    AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT: "120",
    AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL: "10",
    AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL: "15",
    AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL: "15",
    AIRFLOW__LOGGING__BASE_LOG_FOLDER: path.join(airflowHome(settings), "logs"),
    AIRFLOW_CONN_CVAT_DEFAULT: cvatConnection(settings),
    AIRFLOW_CONN_AIRLOOM_REGISTRY: registryConnection(settings),
    STORAGE_DIR: settings.storage,
    INCOMING_DIR: settings.incoming,
    MODEL_DIR: settings.model,
    MLFLOW_TRACKING_URI: `http://127.0.0.1:${ports.mlflow}`,
    DVC_REMOTE_URL: env["DVC_REMOTE_URL"] ?? "",
    ...remoteAccess(env),
    AIRLOOM_DVC: path.join(root, ".venv/bin/dvc"),
    AIRLOOM_PYTHON: path.join(root, ".venv/bin/python"),
    AIRLOOM_PG_DUMP: path.join(tryFindPrograms(path.join(root, ".venv")) ?? "", "pg_dump"),
    ...(env["AIRLOOM_MLFLOW_PATIENCE_S"] ? { AIRLOOM_MLFLOW_PATIENCE_S: env["AIRLOOM_MLFLOW_PATIENCE_S"] } : {}),
    AIRLOOM_NODE: process.execPath,
    PATH: `${path.join(root, ".venv/bin")}:${env["PATH"] ?? ""}`,
    HOME: env["HOME"] ?? home,
    ...(env["LANG"] ? { LANG: env["LANG"] } : {}),
  };
}

/** The version of the schema that Airflow's database has; undefined where it is empty. */
async function revisionOf(url: string): Promise<string | undefined> {
  return withConnection(url, async (client) => {
    const { rows } = await client.query<{ there: boolean }>("select to_regclass('alembic_version') is not null as there");
    if (!rows[0]?.there) return undefined;
    return (await client.query<{ version_num: string }>("select version_num from alembic_version")).rows[0]?.version_num;
  });
}

/** Writes Airflow's log-in and brings its database up to date, if this very Airflow has not found that it is: asking it takes seconds. */
export async function prepareAirflow(settings: StackSettings, say: (line: string) => void): Promise<void> {
  mkdirSync(airflowHome(settings), { recursive: true });
  const { env } = settings;
  const passwords = { [env["AIRFLOW_USER"] || "admin"]: env["AIRFLOW_PASSWORD"] || "admin" };
  writeFileSync(path.join(airflowHome(settings), "passwords.json"), JSON.stringify(passwords), { mode: 0o600 });
  const url = settings.databaseUrls.airflow;
  const stamp = path.join(airflowHome(settings), "migrated.json");
  const packages = createHash("sha256")
    .update(readFileSync(path.join(settings.root, "scripts/python/requirements.lock")))
    .digest("hex");
  const stampFor = (revision: string | undefined) => JSON.stringify({ packages, revision });
  const before = await revisionOf(url);
  if (before && existsSync(stamp) && readFileSync(stamp, "utf8") === stampFor(before)) return;
  const former = path.join(airflowHome(settings), "airflow.db");
  if (!before && existsSync(former))
    say(`  ! Airflow begins a new history in PostgreSQL; the old one stays in ${path.relative(settings.root, former)}, which nothing uses any more`);
  try {
    await execa(path.join(settings.root, ".venv/bin/airflow"), ["db", "migrate"], {
      env: airflowEnvironment(settings),
      extendEnv: false,
      all: true,
    });
  } catch (cause) {
    const said = cause instanceof ExecaError ? String(cause.all).slice(-1500) : String(cause);
    throw new Error(`Airflow could not prepare its database:\n${said}`, { cause });
  }
  writeFileSync(stamp, stampFor(await revisionOf(url)));
}

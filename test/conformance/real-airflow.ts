import { copyFile, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { execa } from "execa";
import { AirflowClient } from "airloom/airflow/client.ts";
import { airflowPrograms } from "../../scripts/stack/airflow.ts";
import { asyncSqlAlchemyUrl, sqlAlchemyUrl } from "../../scripts/stack/database-url.ts";
import { Supervisor } from "../../scripts/stack/supervisor.ts";
import { newDatabase } from "../database.ts";
import { onFreePorts } from "../free-port.ts";
import { patientAirflow } from "../patient-airflow.ts";
import { waitFor } from "../patience.ts";

/** How one task instance ended, and what it pushed. */
export interface InstanceRecord {
  readonly state: string;
  readonly tries: number;
  readonly xcoms: Readonly<Record<string, unknown>>;
}

/** Runs by DAG id: the run's state, and each instance by "task" or "task[0]". */
export type Records = Readonly<Record<string, { state: string; instances: Record<string, InstanceRecord> }>>;

/** A real Airflow of its own: a database, four processes, a folder of DAGs. */
export interface RealAirflow {
  readonly client: AirflowClient;
  /**
   * All runs that have ended, read from the database.
   * @throws {Error} if one of Airflow's programs has ended
   */
  records(): Promise<Records>;
  /** Whether the scheduler has heard of the end of a task's process. */
  knowsEndOf(dagId: string, taskId: string): Promise<boolean>;
  stop(): Promise<void>;
}

const root = new URL("../../", import.meta.url).pathname;
/** CONFORMANCE_VENV names another Airflow than the project's. */
const venv = process.env["CONFORMANCE_VENV"] ?? ".venv";
const bin = (name: string) => path.join(root, venv, "bin", name);

/** Starts Airflow on a copy of a folder of compiled DAGs. */
export async function startAirflow(dags: string, extra: Readonly<Record<string, string>> = {}): Promise<RealAirflow> {
  const home = await mkdtemp(path.join(tmpdir(), "conformance-"));
  await mkdir(path.join(home, "dags"));
  for (const name of await readdir(dags)) await copyFile(path.join(dags, name), path.join(home, "dags", name));
  const database = await newDatabase();
  await writeFile(path.join(home, "passwords.json"), JSON.stringify({ admin: "admin" }), { mode: 0o600 });
  const fixed: Record<string, string> = {
    AIRFLOW_HOME: home,
    AIRFLOW__CORE__DAGS_FOLDER: path.join(home, "dags"),
    AIRFLOW__CORE__LOAD_EXAMPLES: "False",
    AIRFLOW__CORE__EXECUTOR: "LocalExecutor",
    AIRFLOW__CORE__PARALLELISM: "4",
    AIRFLOW__CORE__MAX_ACTIVE_TASKS_PER_DAG: "32",
    AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION: "False",
    AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS: "admin:admin",
    AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE: path.join(home, "passwords.json"),
    AIRFLOW__API_AUTH__JWT_SECRET: "for one test alone, on loopback: 0123456789abcdef0123456789abcdef",
    AIRFLOW__API__HOST: "127.0.0.1",
    AIRFLOW__API__WORKERS: "1",
    AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL: "1",
    ...patientAirflow,
    AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL: "600",
    AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL: "600",
    AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME: "0.2",
    AIRFLOW__DATABASE__SQL_ALCHEMY_CONN: sqlAlchemyUrl(database.url),
    AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC: asyncSqlAlchemyUrl(database.url),
    AIRFLOW__LOGGING__BASE_LOG_FOLDER: path.join(home, "logs"),
    AIRFLOW__METRICS__STATSD_ON: "False",
    AIRLOOM_NODE: process.execPath,
    // Airflow looks there for the coordinator.
    PYTHONPATH: path.join(home, "dags"),
    NODE_PATH: path.join(root, "node_modules"),
    PATH: `${path.join(root, venv, "bin")}:${process.env["PATH"] ?? ""}`,
    HOME: home,
    ...extra,
  };
  await execa(bin("airflow"), ["db", "migrate"], { env: fixed, extendEnv: false });
  let death: string | undefined;
  const { supervisor, url } = await onFreePorts(3, async ([port, workerLogs, triggererLogs]) => {
    const url = `http://127.0.0.1:${port}`;
    const env = {
      ...fixed,
      AIRFLOW__CORE__EXECUTION_API_SERVER_URL: `${url}/execution/`,
      AIRFLOW__API__PORT: String(port),
      AIRFLOW__API__BASE_URL: url,
      // Else two ports of the machine, which another Airflow may have.
      AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT: String(workerLogs),
      AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT: String(triggererLogs),
    };
    const supervisor = new Supervisor(root, path.join(home, "programs"));
    death = undefined;
    supervisor.onDeath((message) => (death ??= message));
    for (const name of airflowPrograms) supervisor.start({ name, command: bin("airflow"), args: [name], env });
    const isUp = async () => {
      if (death) throw new Error(death);
      return fetch(`${url}/api/v2/monitor/health`).then(
        (answer) => answer.ok,
        () => false,
      );
    };
    try {
      await waitFor(isUp, { what: "Airflow to be up", quietMs: 60_000, everyMs: 500 });
    } catch (error) {
      await supervisor.stop();
      throw error;
    }
    return { supervisor, url };
  });
  const client = new AirflowClient({ url, user: "admin", password: "admin" });
  return {
    client,
    async records() {
      if (death) throw new Error(death);
      const { stdout } = await execa(bin("python"), [path.join(root, "test/conformance/read_runs.py")], { env: { DATABASE_URL: database.url } });
      return JSON.parse(stdout) as Records;
    },
    async knowsEndOf(dagId, taskId) {
      const log = await readFile(supervisor.logFile("scheduler"), "utf8");
      return log.split("\n").some((line) => line.includes("Received executor event") && line.includes(`dag_id='${dagId}', task_id='${taskId}'`));
    },
    async stop() {
      await supervisor.stop();
      await database.drop();
      if (process.env["KEEP_AIRFLOW"]) console.log(`kept ${home}`);
      else await rm(home, { recursive: true, force: true });
    },
  };
}

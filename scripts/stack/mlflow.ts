import { existsSync, mkdirSync } from "node:fs";
import path from "node:path";
import { execa, ExecaError } from "execa";
import { sqlAlchemyUrl } from "./database-url.ts";
import type { StackSettings } from "./settings.ts";
import type { Program } from "./supervisor.ts";

const mlflowHome = ({ home }: StackSettings) => path.join(home, "mlflow");

/** By the environment, not by arguments: those show in the list of processes, and the address holds a password. */
const mlflowEnvironment = ({ databaseUrls, env }: StackSettings) => ({
  PATH: env["PATH"],
  HOME: env["HOME"],
  LANG: env["LANG"],
  MLFLOW_BACKEND_STORE_URI: sqlAlchemyUrl(databaseUrls.mlflow),
  MLFLOW_SERVER_ENABLE_JOB_EXECUTION: "false",
  MLFLOW_DISABLE_TELEMETRY: "true",
});

/** MLflow's server, with its rows in PostgreSQL and its files in a folder. */
export function mlflowProgram(settings: StackSettings): Program {
  const { host, ports, root } = settings;
  mkdirSync(mlflowHome(settings), { recursive: true });
  const allowed = ["localhost", "127.0.0.1", "mlflow"].flatMap((name) => [name, `${name}:${ports.mlflow}`]).join(",");
  const listen = ["--host", host, "--port", String(ports.mlflow), "--workers", "1", "--allowed-hosts", allowed];
  return {
    name: "mlflow",
    command: path.join(root, ".venv/bin/mlflow"),
    args: ["server", ...listen, "--artifacts-destination", path.join(mlflowHome(settings), "artifacts")],
    env: mlflowEnvironment(settings),
  };
}

/** Moves the runs and models of an earlier Airloom, which kept them in SQLite, into PostgreSQL: once, for the file is then renamed. */
export async function takeOverMlflow(settings: StackSettings, say: (line: string) => void): Promise<void> {
  const former = path.join(mlflowHome(settings), "mlflow.db");
  if (!existsSync(former)) return;
  say(`  … mlflow: taking over ${path.relative(settings.root, former)} into PostgreSQL`);
  const script = path.join(settings.root, "scripts/stack/take_over_mlflow.py");
  try {
    const { stdout } = await execa(path.join(settings.root, ".venv/bin/python"), [script, former], { env: mlflowEnvironment(settings), extendEnv: false });
    say(`  ✓ mlflow: ${stdout.trim().split("\n").at(-1)}`);
  } catch (cause) {
    const said = cause instanceof ExecaError ? String(cause.stderr).trim().slice(-1500) : String(cause);
    throw new Error(`MLflow's runs and models in ${former} could not be taken over into PostgreSQL; the file is as it was:\n${said}`, { cause });
  }
}

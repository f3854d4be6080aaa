import { mkdirSync } from "node:fs";
import path from "node:path";
import { serviceAllocation } from "../../inference/src/allocation.ts";
import { airflowEnvironment, airflowPrograms, prepareAirflow } from "./airflow.ts";
import { answers, ensureDatabases } from "./databases.ts";
import { mlflowProgram, takeOverMlflow } from "./mlflow.ts";
import { isFree, tryFindHolder } from "./ports.ts";
import { preparePostgres } from "./postgres.ts";
import { type PartName, partNames, type StackSettings, urlOf } from "./settings.ts";
import { type Program, Supervisor } from "./supervisor.ts";

/** A running stack. */
export interface Stack {
  readonly supervisor: Supervisor;
  stop(): Promise<void>;
}

const onPostgres: readonly PartName[] = ["mlflow", "airflow"];

/**
 * The parts to start: those that were asked for and PostgreSQL where one of them needs it, without the labeler where a CVAT
 * takes its place, and without PostgreSQL where DATABASE_URL names another.
 */
export function chooseParts(only: string | undefined, settings: StackSettings): PartName[] {
  const asked = new Set(only?.split(",").map((name) => name.trim()) ?? partNames);
  for (const name of asked) if (!partNames.includes(name as PartName)) throw new Error(`--only knows ${partNames.join(", ")}, and not "${name}"`);
  if (onPostgres.some((name) => asked.has(name))) asked.add("postgres");
  if (settings.cvatUrl) asked.delete("labeler");
  if (settings.databaseIsForeign) asked.delete("postgres");
  const parts = partNames.filter((name) => asked.has(name));
  if (parts.length === 0) throw new Error(`there is nothing to start: .env names another ${only}`);
  return parts;
}

/** Starts parts and waits until all are healthy. `say` is told of each step; where one fails, all are stopped. */
export async function startStack(
  settings: StackSettings,
  parts: readonly PartName[],
  say: (line: string) => void,
  startTimeoutMs = usualStartTimeoutMs,
): Promise<Stack> {
  await refuseTakenPorts(settings, parts);
  for (const folder of [settings.home, settings.incoming, settings.model]) mkdirSync(folder, { recursive: true });
  const supervisor = new Supervisor(settings.root, path.join(settings.home, "logs"));
  let died: string | undefined;
  supervisor.onDeath((message) => (died = message));
  const stack: Stack = { supervisor, stop: () => supervisor.stop() };
  const start = async (part: PartName) => {
    const started = Date.now();
    if (part === "airflow") await prepareAirflow(settings, say);
    if (part === "mlflow") await takeOverMlflow(settings, say);
    for (const program of await programsOf(part, settings)) {
      supervisor.start(program);
      say(`  … ${program.name}: log in ${path.relative(settings.root, supervisor.logFile(program.name))}`);
    }
    await waitForHealth(part, settings, startTimeoutMs, () => died);
    say(`  ✓ ${part} is up (${Math.round((Date.now() - started) / 1000)} s)`);
  };
  const database = async () => {
    if (parts.includes("postgres")) await start("postgres");
    if (parts.some((part) => part === "postgres" || onPostgres.includes(part))) await ensureDatabases(settings.database);
  };
  try {
    const ready = database();
    const others = parts.filter((part) => part !== "postgres");
    await Promise.all([ready, ...others.map((part) => (onPostgres.includes(part) ? ready.then(() => start(part)) : start(part)))]);
    return stack;
  } catch (error) {
    await supervisor.stop();
    throw error;
  }
}

async function refuseTakenPorts({ host, ports }: StackSettings, parts: readonly PartName[]): Promise<void> {
  const taken: string[] = [];
  for (const part of parts) {
    const port = ports[part];
    if (await isFree(part === "postgres" ? "127.0.0.1" : host, port)) continue;
    taken.push(`port ${port}, which ${part} needs, is held by ${tryFindHolder(port) ?? "another program"}: stop it, or set ${part.toUpperCase()}_PORT in .env`);
  }
  if (taken.length > 0) throw new Error(taken.join("\n"));
}

async function programsOf(part: PartName, settings: StackSettings): Promise<Program[]> {
  const { env, home, host, incoming, model, ports, root } = settings;
  const base = { PATH: env["PATH"], HOME: env["HOME"], LANG: env["LANG"], LISTEN_HOST: host };
  const node = (name: PartName, file: string, extra: Record<string, string | undefined>): Program => ({
    name,
    command: process.execPath,
    args: ["--import", "tsx", file],
    env: { ...base, ...extra },
  });
  switch (part) {
    case "postgres":
      return [await preparePostgres(path.join(root, ".venv"), { ...settings.database, data: path.join(home, "postgres") })];
    case "labeler":
      return [
        node(part, "dataset-platform/src/labeler/main.ts", {
          LABELER_PORT: String(ports.labeler),
          LABELER_DIR: path.join(home, "labeler"),
          LABELER_USER: env["LABELER_USER"],
          LABELER_PASSWORD: env["LABELER_PASSWORD"],
        }),
      ];
    case "inference":
      return [
        node(part, "inference/src/main.ts", {
          ...inferenceOptions(env),
          ...serviceAllocation,
          INFERENCE_PORT: String(ports.inference),
          MODEL_DIR: model,
          INCOMING_DIR: incoming,
        }),
      ];
    case "mlflow":
      return [mlflowProgram(settings)];
    case "airflow":
      return airflowPrograms.map((name) => ({
        name: `airflow-${name}`,
        command: path.join(root, ".venv/bin/airflow"),
        args: [name],
        env: airflowEnvironment(settings),
      }));
  }
}

/** What `.env` says of the inference service. */
function inferenceOptions(env: StackSettings["env"]): Record<string, string | undefined> {
  return Object.fromEntries(Object.entries(env).filter(([name]) => /^(INFERENCE|FEEDBACK)_/.test(name)));
}

/** A machine that is slower than this allows is told of it; a test waits longer. */
const usualStartTimeoutMs = 240_000;

async function waitForHealth(part: PartName, settings: StackSettings, startTimeoutMs: number, died: () => string | undefined): Promise<void> {
  const deadline = Date.now() + startTimeoutMs;
  while (!(await isHealthy(part, settings))) {
    const message = died();
    if (message) throw new Error(message);
    if (Date.now() > deadline) throw new Error(`${part} was not healthy after ${startTimeoutMs / 1000} s: see its log in ${path.join(settings.home, "logs")}`);
    await new Promise((resolve) => setTimeout(resolve, part === "postgres" ? 50 : 500));
  }
}

const healthPaths: Record<Exclude<PartName, "postgres">, string> = {
  airflow: "/api/v2/monitor/health",
  mlflow: "/health",
  inference: "/healthz",
  labeler: "/healthz",
};

/** Whether a part answers that it works; for Airflow, all four of its programs; for PostgreSQL, also where DATABASE_URL names it. */
export async function isHealthy(part: PartName, settings: StackSettings): Promise<boolean> {
  if (part === "postgres") return answers(settings.database);
  try {
    const response = await fetch(`http://127.0.0.1:${settings.ports[part]}${healthPaths[part]}`, { signal: AbortSignal.timeout(5000) });
    if (!response.ok) return false;
    if (part !== "airflow") return true;
    const health = (await response.json()) as Record<string, { status: string | null }>;
    return ["metadatabase", "scheduler", "triggerer", "dag_processor"].every((name) => health[name]?.status === "healthy");
  } catch {
    return false;
  }
}

/** One screen that says where everything is. */
export function welcome(settings: StackSettings, parts: readonly PartName[]): string {
  const { env } = settings;
  const about: Record<PartName, string> = {
    postgres: `the data of all of them; log in as ${settings.database.user}, password POSTGRES_PASSWORD in .env`,
    airflow: `log in as ${env["AIRFLOW_USER"] || "admin"} / ${env["AIRFLOW_PASSWORD"] === "admin" ? "admin" : "AIRFLOW_PASSWORD in .env"}`,
    mlflow: "experiments, loss curves, models",
    inference: `Swagger at ${urlOf(settings, "inference")}/docs`,
    labeler: `log in as ${env["LABELER_USER"] || "admin"}, password LABELER_PASSWORD in .env`,
  };
  const where = (part: PartName) => (part === "postgres" ? `127.0.0.1:${settings.ports.postgres}` : urlOf(settings, part));
  const lines = parts.map((part) => `  ${part.padEnd(10)} ${where(part).padEnd(24)} ${about[part]}`);
  const next = `Put pictures into ${path.relative(settings.root, settings.incoming)}/ and trigger labeling_pipeline in Airflow, or run \`npm run demo\` in another terminal.`;
  return ["", ...lines, ...(settings.cvatUrl ? [`  cvat       ${settings.cvatUrl}`] : []), "", next, "Ctrl-C stops everything.", ""].join("\n");
}

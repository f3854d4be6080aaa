import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import type { DescribedProvider } from "./emit-operators.ts";

const script = fileURLToPath(new URL("../../python/describe_operators.py", import.meta.url));

/** The Python that has Airflow: the one named, else the project's virtual environment, else the PATH's. */
export function findPython(root: string, named?: string): string {
  if (named) return named;
  const own = path.join(root, ".venv/bin/python");
  return existsSync(own) ? own : "python3";
}

/** Reads the classes of an installed provider; throws an Error that says how to install it where it is not. */
export async function describeProvider(python: string, provider: string, prefixes: readonly string[]): Promise<DescribedProvider> {
  if (!/^apache-airflow-providers-[a-z0-9-]+$/.test(provider))
    throw new Error(`"${provider}" is not a provider: name a package such as apache-airflow-providers-http`);
  const { code, stdout, stderr } = await run(python, [script, provider, ...prefixes]);
  if (code !== 0) {
    if (/No module named/.test(stderr)) throw new Error(`${provider} is not installed for ${python}: ${python} -m pip install ${provider}`);
    throw new Error(`${provider} could not be read:\n${stderr.trim().split("\n").slice(-4).join("\n")}`);
  }
  return JSON.parse(stdout.trim().split("\n").at(-1)!) as DescribedProvider;
}

/** Airflow makes its folder when it is imported, in the person's home where no other is named: a question must leave nothing there. */
async function run(command: string, args: readonly string[]): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const home = await mkdtemp(path.join(tmpdir(), "airloom-operators-"));
  try {
    return await runWith({ AIRFLOW_HOME: home, ...process.env }, command, args);
  } finally {
    await rm(home, { recursive: true, force: true });
  }
}

function runWith(env: NodeJS.ProcessEnv, command: string, args: readonly string[]): ReturnType<typeof run> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, [...args], { stdio: ["ignore", "pipe", "pipe"], env });
    let [stdout, stderr] = ["", ""];
    child.stdout.on("data", (chunk: Buffer) => (stdout += chunk.toString()));
    child.stderr.on("data", (chunk: Buffer) => (stderr += chunk.toString()));
    child.on("error", (cause) => reject(new Error(`${command} could not be started`, { cause })));
    child.on("close", (code) => resolve({ code, stdout, stderr }));
  });
}

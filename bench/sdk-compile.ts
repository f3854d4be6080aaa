// How fast the SDK compiles, how fast Airflow parses what it makes, and how fast the simulator is:
//
//   node --import tsx bench/sdk-compile.ts
//
// Parse times are ratios to the same DAG written by hand with PythonOperator, measured in turns in one process.
import { spawn } from "node:child_process";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { dag, task } from "airloom";
import { simulate } from "airloom/testing/simulate.ts";
import { execa } from "execa";

const root = fileURLToPath(new URL("../", import.meta.url));
const command = path.join(root, "sdk/bin/compile-dags.mjs");
await mkdir(path.join(root, ".airloom"), { recursive: true });
const folder = await mkdtemp(path.join(root, ".airloom/bench-"));
const seconds = async (work: () => Promise<unknown>) => {
  const started = performance.now();
  await work();
  return (performance.now() - started) / 1000;
};

/** A DAG of tasks that each use the one before; 20 of them have tasks of their own, as people write them. */
const source = (id: string, tasks: number) => `import { dag, task } from "airloom";

/** @default 1 */
export interface Conf {
  /** How many. @default 3 @minimum 1 */
  count: number;
}

const start = task("start", {}, async (input: { count: number }) => ({ n: input.count, items: ["a"] }));
const step = task("step", { retries: 1 }, async (input: { n: number; items: readonly string[] }) => ({ n: input.n + 1, items: [...input.items] }));

/** DAG ${id}. */
export default dag<Conf>(${JSON.stringify(id)}, { schedule: null, tags: ["bench"] }, ({ conf }) => {
  let last = start({ count: conf.count });
  for (let i = 1; i < ${tasks}; i++) last = step({ n: last.n, items: last.items }, { id: \`step_\${i}\` });
});
`;

async function compile(): Promise<void> {
  const dags = path.join(folder, "dags");
  await mkdir(dags);
  for (let i = 0; i < 100; i++) await writeFile(path.join(dags, `d${i}.dag.ts`), source(`bench_${i}`, 20));
  const out = path.join(folder, "out");
  const cold = await seconds(() => execa(process.execPath, [command, dags, "--out", out], { cwd: root }));
  console.log(`compile 100 DAGs of 20 tasks, cold, the whole command:      ${cold.toFixed(2)} s   (mark: 5 s)`);
  const watcher = spawn(process.execPath, [command, dags, "--out", out, "--watch", "--json"], { cwd: root, stdio: ["ignore", "pipe", "inherit"] });
  let lines = 0;
  watcher.stdout.on("data", (chunk: Buffer) => (lines += chunk.toString().split("\n").length - 1));
  const next = async (count: number) => {
    while (lines < count) await new Promise((done) => setTimeout(done, 2));
  };
  await next(1);
  await new Promise((done) => setTimeout(done, 500));
  const times: number[] = [];
  for (let i = 0; i < 9; i++) {
    const file = path.join(dags, `d${i}.dag.ts`);
    const text = await readFile(file, "utf8");
    const before = lines;
    const started = performance.now();
    await writeFile(file, text.replace("retries: 1", `retries: ${i + 2}`));
    await next(before + 1);
    times.push(performance.now() - started);
    await new Promise((done) => setTimeout(done, 200));
  }
  watcher.kill();
  const sorted = times.toSorted((a, b) => a - b);
  console.log(
    `one changed file of 100 in watch mode, save to written:     ${sorted[4]!.toFixed(0)} ms median, ${sorted.at(-1)!.toFixed(0)} ms slowest of 9   (mark: 300 ms)`,
  );
}

async function parse(): Promise<void> {
  const dags = path.join(folder, "parse");
  await mkdir(dags);
  for (const tasks of [1, 100, 1000]) await writeFile(path.join(dags, `p${tasks}.dag.ts`), source(`ours_${tasks}`, tasks));
  const out = path.join(folder, "parsed");
  await execa(process.execPath, [command, dags, "--out", out], { cwd: root });
  const env = { AIRFLOW_HOME: path.join(folder, "home"), AIRFLOW__CORE__LOAD_EXAMPLES: "False" };
  const { stdout } = await execa(path.join(root, ".venv/bin/python"), [path.join(root, "bench/parse_dags.py"), out], { env });
  console.log(stdout.trim());
}

async function simulated(): Promise<void> {
  const step = task("step", {}, async (input: { n: number }) => input.n + 1);
  const wide = dag("wide", { schedule: null }, () => {
    const first = step({ n: 0 }, { id: "first" });
    for (let i = 0; i < 999; i++) step({ n: first }, { id: `s${i}` });
  });
  const long = dag("long", { schedule: null }, () => {
    let last = step({ n: 0 }, { id: "first" });
    for (let i = 0; i < 999; i++) last = step({ n: last }, { id: `s${i}` });
  });
  const mapped = dag("mapped", { schedule: null }, () => void step.expand({ n: Array.from({ length: 1000 }, (_, i) => i) }));
  for (const one of [wide, long, mapped])
    console.log(`simulate 1,000 tasks, ${one.id.padEnd(6)}:                              ${(await seconds(() => simulate(one))).toFixed(2)} s   (mark: 1 s)`);
}

try {
  await compile();
  await parse();
  await simulated();
} finally {
  await rm(folder, { recursive: true, force: true });
}

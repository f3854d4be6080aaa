// How long Airflow takes for a task that does nothing, start to end as it records them, by what runs it:
//
//   node --import tsx bench/sdk-tasks.ts [tasks]
//
// A real Airflow (PostgreSQL, LocalExecutor); one task after the other, so that none waits for a core.
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { compileDags } from "airloom/compiler/compile.ts";
import { writeOutputs } from "airloom/compiler/write.ts";
import { startAirflow } from "../test/conformance/real-airflow.ts";

const root = fileURLToPath(new URL("../", import.meta.url));
const count = Number(process.argv[2] ?? 20);
await mkdir(path.join(root, ".airloom"), { recursive: true });
const folder = await mkdtemp(path.join(root, ".airloom/bench-"));
const out = path.join(folder, "out");

const source = (id: string, transport: string) => `import { dag, type Ref, task } from "airloom";
const nothing = task("nothing", { transport: ${JSON.stringify(transport)} }, async () => null);
export default dag(${JSON.stringify(id)}, { schedule: null }, () => {
  let last: Ref<null> | undefined;
  for (let i = 0; i < ${count}; i++) last = nothing({}, { id: \`n\${i}\`, ...(last ? { after: last } : {}) });
});
`;
const python = `
from airflow.sdk import dag, task

@dag(schedule=None)
def python():
    @task
    def nothing():
        return None

    last = None
    for i in range(${count}):
        now = nothing.override(task_id=f"n{i}")()
        if last is not None:
            last >> now
        last = now

python()
`;

try {
  for (const transport of ["spawn", "coordinator"]) await writeFile(path.join(folder, `${transport}.dag.ts`), source(transport, transport));
  const files = ["spawn", "coordinator"].map((name) => path.join(folder, `${name}.dag.ts`));
  const compiled = await compileDags(files, { root, outDir: out });
  if (compiled.diagnostics.length > 0) throw new Error(JSON.stringify(compiled.diagnostics));
  await writeOutputs(out, compiled.files);
  await writeFile(path.join(out, "python.py"), python);
  const airflow = await startAirflow(out, {
    AIRFLOW__SDK__COORDINATORS: JSON.stringify({ airloom: { classpath: "airloom_coordinator.NodeCoordinator" } }),
    AIRFLOW__SDK__QUEUE_TO_COORDINATOR: JSON.stringify({ "airloom-node": "airloom" }),
  });
  try {
    const ids = ["python", "spawn", "coordinator"];
    await airflow.client.waitForDags(ids);
    const medians: Record<string, number> = {};
    for (const id of ids) {
      const run = await airflow.client.trigger(id, {});
      const end = await airflow.client.waitForRun(id, run.dag_run_id);
      const tasks = await airflow.client.taskInstances(id, run.dag_run_id);
      const times = tasks.map((task) => task.duration ?? NaN).toSorted((a, b) => a - b);
      medians[id] = times[Math.floor(times.length / 2)]!;
      console.log(
        `${id.padEnd(12)} ${end.state}: ${(medians[id] * 1000).toFixed(0).padStart(4)} ms median, ${(times.at(-1)! * 1000).toFixed(0)} ms slowest of ${times.length}`,
      );
    }
    const ratio = (id: string) => (medians[id]! / medians["python"]!).toFixed(2);
    console.log(`of a Python @task: ${ratio("coordinator")} through the coordinator (mark: 0.3), ${ratio("spawn")} through the operator (mark: 1.5)`);
  } finally {
    await airflow.stop();
  }
} finally {
  await rm(folder, { recursive: true, force: true });
}

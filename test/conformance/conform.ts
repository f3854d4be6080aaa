import assert from "node:assert/strict";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import type { Dag } from "airloom";
import { AirflowApiError } from "airloom/airflow/client.ts";
import { openTypes, type Schema } from "airloom/compiler/types.ts";
import { compileDags } from "airloom/compiler/compile.ts";
import { writeOutputs } from "airloom/compiler/write.ts";
import { nameOf, simulate } from "airloom/testing/simulate.ts";
import { patientMs, waitFor } from "../patience.ts";
import { answers, cases, stubs } from "./cases.ts";
import { type InstanceRecord, type RealAirflow, type Records, startAirflow } from "./real-airflow.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));
const only = process.env["CONFORMANCE_ONLY"]?.split(",");
const names = Object.keys(cases).filter((name) => !only || only.includes(name));

/** What both worlds are given. */
const variables = { given: "a value" };
const connections = { given: { type: "http", host: "h", login: "me", extra: { a: 1 } } };
const env = { AIRFLOW_VAR_GIVEN: variables.given, AIRFLOW_CONN_GIVEN: JSON.stringify({ conn_type: "http", host: "h", login: "me", extra: { a: 1 } }) };

/** Compiles every case as a DAG file of its own. */
async function compileCases(out: string, coordinator: boolean, pack: boolean): Promise<void> {
  const folder = await mkdtemp(path.join(root, ".airloom/conformance-"));
  try {
    const files = await Promise.all(
      names.map(async (name) => {
        const file = path.join(folder, `${name}.dag.ts`);
        const source = path.relative(folder, path.join(root, "test/conformance/cases.ts"));
        await writeFile(file, `import { cases } from ${JSON.stringify(source)};\n\nexport default cases[${JSON.stringify(name)}]!;\n`);
        return file;
      }),
    );
    const { files: outputs, diagnostics } = await compileDags(files, { root, outDir: out, coordinator, pack });
    assert.deepEqual(diagnostics, []);
    await writeOutputs(out, outputs);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/**
 * Answers every task of `open` that waits for a person. An answer races with the end of the process that asked, and Airflow
 * then takes the task for lost: it comes when the scheduler knows of that end.
 */
async function answerAll({ client, knowsEndOf }: RealAirflow, runs: ReadonlyMap<string, string>, open: Set<string>): Promise<void> {
  for (const key of open) {
    const [name, taskId] = key.split("/") as [string, string];
    try {
      const tasks = await client.taskInstances(name, runs.get(name)!);
      if (!tasks.some((task) => task.task_id === taskId && ["awaiting_input", "deferred"].includes(task.state ?? ""))) continue;
      if (!(await knowsEndOf(name, taskId))) continue;
      await client.answer(name, runs.get(name)!, taskId, answers[name]![taskId]!);
      open.delete(key);
    } catch (error) {
      if (!(error instanceof AirflowApiError)) throw error;
    }
  }
}

/** Runs every case in a real Airflow and gives what became of them. */
async function runForReal(coordinator: boolean, pack: boolean, settings: Readonly<Record<string, string>>): Promise<Records> {
  const out = await mkdtemp(path.join(tmpdir(), "conformance-dags-"));
  await compileCases(out, coordinator, pack);
  const airflow = await startAirflow(out, { ...env, ...settings });
  try {
    await airflow.client.waitForDags(names, patientMs(120_000));
    assert.deepEqual(await airflow.client.importErrors(), []);
    const runs = new Map<string, string>();
    // Sensors wait between their looks: what begins with them is done with the others.
    const isSensor = (name: string) => Number(name.startsWith("sensor_"));
    for (const name of names.toSorted((a, b) => isSensor(b) - isSensor(a))) runs.set(name, (await airflow.client.trigger(name, {})).dag_run_id);
    const open = new Set(names.flatMap((name) => Object.keys(answers[name] ?? {}).map((taskId) => `${name}/${taskId}`)));
    let running: readonly string[] = names;
    const ended = async (): Promise<Records | undefined> => {
      const records = await airflow.records();
      running = names.filter((name) => !["success", "failed"].includes(records[name]?.state ?? ""));
      if (running.length === 0) return records;
      await answerAll(airflow, runs, open);
      return undefined;
    };
    return await waitFor(ended, { what: () => `the end of ${running.join(", ")}`, quietMs: 400_000, everyMs: 2000 });
  } finally {
    await airflow.stop();
    await rm(out, { recursive: true, force: true });
  }
}

/** The input schemas of a case's tasks, read from the types as the compiler does. */
function schemasOf(dag: Dag): Record<string, Schema> {
  const schemas: Record<string, Schema> = {};
  for (const task of dag.build().graph.tasks) {
    const site = task.definedAt && {
      ...task.definedAt,
      file: task.definedAt.file.startsWith("file:") ? fileURLToPath(task.definedAt.file) : task.definedAt.file,
    };
    const found = site && types.taskAt(site);
    if (found) schemas[task.id] = found.input;
  }
  return schemas;
}
const casesFile = path.join(root, "test/conformance/cases.ts");
const reader = openTypes(path.join(root, "tsconfig.json"));
reader.load([casesFile]);
const types = reader.read(casesFile, undefined, []);

async function runSimulated(name: string): Promise<Records[string]> {
  const run = await simulate(cases[name]!, {
    variables,
    connections,
    stubs: stubs[name] ?? {},
    schemas: schemasOf(cases[name]!),
    runId: `${name}-${process.pid}-${Date.now()}`,
  });
  const instances = run.tasks.map((task): [string, InstanceRecord] => [nameOf(task), { state: task.state, tries: task.tries, xcoms: task.xcoms }]);
  return { state: run.state, instances: Object.fromEntries(instances) };
}

/** What only a real Airflow can know: its addresses, the id of a run that it started, who answered and when. */
const itsOwn = (key: string) => key.startsWith("_link_") || ["trigger_run_id", "responded_at", "responded_by_user"].includes(key);
function withoutItsOwn(xcoms: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const kept = Object.entries(xcoms).filter(([key]) => !itsOwn(key));
  return Object.fromEntries(
    kept.map(([key, value]) => [key, value && typeof value === "object" && "responded_at" in value ? withoutItsOwn({ ...value }) : value]),
  );
}

/** Sorted by name; Airflow counts no try for what never ran. */
const comparable = ({ state, instances }: Records[string]) => ({
  state,
  instances: Object.fromEntries(
    Object.entries(instances)
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, { state: own, xcoms }]) => [name, { state: own, xcoms: withoutItsOwn(xcoms) }]),
  ),
});

/** Declares a suite that runs every case in the simulator and in a real Airflow, and compares them. */
export function conform(title: string, coordinator: boolean, settings: Readonly<Record<string, string>>, pack = false): void {
  describe(`${names.length} DAGs in the simulator and in a real Airflow, ${title}`, () => {
    let real: Records;
    let looks: string;
    before(async function () {
      this.timeout(600_000);
      looks = await mkdtemp(path.join(tmpdir(), "conformance-looks-"));
      process.env["CONFORMANCE_LOOKS"] = looks;
      await mkdir(path.join(root, ".airloom"), { recursive: true });
      // CONFORMANCE_KEEP=1 keeps what Airflow did, and CONFORMANCE_REPLAY=1 compares with what was kept.
      const saved = path.join(root, `.airloom/conformance-${pack ? "pack" : coordinator ? "coordinator" : "spawn"}.json`);
      if (process.env["CONFORMANCE_REPLAY"]) real = JSON.parse(await readFile(saved, "utf8")) as Records;
      else {
        real = await runForReal(coordinator, pack, { ...settings, CONFORMANCE_LOOKS: looks });
        if (process.env["CONFORMANCE_KEEP"]) await writeFile(saved, JSON.stringify(real));
      }
    });
    after(() => rm(looks, { recursive: true, force: true }));
    for (const name of names)
      it(name, async () => {
        assert.ok(real[name], `Airflow has no run of ${name}`);
        assert.deepEqual(comparable(await runSimulated(name)), comparable(real[name]));
      }).timeout(20_000);
  });
}

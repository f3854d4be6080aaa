import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { execa } from "execa";
import { compileDags } from "../src/compiler/compile.ts";
import type { Target } from "../src/compiler/target.ts";
import { writeOutputs } from "../src/compiler/write.ts";
import { describeProvider } from "../src/operators/describe.ts";
import { emitOperators } from "../src/operators/emit-operators.ts";
import { patientAirflow } from "../../test/patient-airflow.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));
const examples = path.join(root, "sdk/examples");
const update = process.env["UPDATE_GOLDENS"] === "1";

interface Example {
  readonly name: string;
  readonly source: string;
  /** The first Airflow that has what it shows, or "providers": more packages than Airflow itself. */
  readonly needs: string;
}

async function findExamples(): Promise<Example[]> {
  const folders = (await readdir(examples, { withFileTypes: true })).filter(
    (entry) => entry.isDirectory() && existsSync(path.join(examples, entry.name, "by-hand.py")),
  );
  return Promise.all(
    folders.map(async ({ name }) => {
      const [first = ""] = (await readFile(path.join(examples, name, "by-hand.py"), "utf8")).split("\n");
      return { name, source: path.join(examples, name, `${name}.dag.ts`), needs: /^# needs (\S+)/.exec(first)?.[1] ?? "2.11" };
    }),
  );
}

/** What a real Airflow makes of the compiled examples and of those written by hand: the differences of each. */
async function compare(python: string, folder: string, version: string, providers: boolean): Promise<Record<string, string[] | string>> {
  const script = path.join(root, "sdk/test/compare_serialized.py");
  const env = {
    AIRFLOW_HOME: path.join(folder, ".home"),
    AIRFLOW__CORE__LOAD_EXAMPLES: "False",
    ...patientAirflow,
    AIRFLOW__CORE__DAGS_FOLDER: folder,
    PYTHONDONTWRITEBYTECODE: "1",
  };
  // Airflow 2 looks up dataset aliases in its database when it serializes.
  if (version.startsWith("2.")) await execa(path.join(root, path.dirname(python), "airflow"), ["db", "migrate"], { env });
  const { stdout } = await execa(path.join(root, python), [script, examples, folder, version, ...(providers ? ["--providers"] : [])], { env });
  return JSON.parse(stdout.trim().split("\n").at(-1)!) as Record<string, string[] | string>;
}

describe("every example, as TypeScript and as Python written by hand", () => {
  let folder: string;
  let all: Example[];
  before(async () => (all = await findExamples()));
  beforeEach(async () => (folder = await mkdtemp(path.join(tmpdir(), "examples-"))));
  afterEach(() => rm(folder, { recursive: true, force: true }));

  async function compile(which: readonly Example[], target: Target): Promise<void> {
    const { files, diagnostics } = await compileDags(
      which.map(({ source }) => source),
      { root, outDir: folder, target },
    );
    assert.deepEqual(diagnostics, []);
    await writeOutputs(folder, files);
  }

  it("compiles to its golden", async () => {
    await compile(all, "3.3");
    for (const { name } of all) {
      const golden = path.join(examples, name, "expected.py");
      const made = await readFile(path.join(folder, `${name.replaceAll("-", "_")}.py`), "utf8");
      if (update) await writeFile(golden, made);
      assert.equal(made, await readFile(golden, "utf8"));
    }
  }).timeout(60_000);

  it("is the same DAG to Airflow 3.3.2", async () => {
    await compile(all, "3.3");
    const found = await compare(".venv-providers/bin/python", folder, "3.3", true);
    assert.deepEqual(found, Object.fromEntries(all.map(({ name }) => [name, []])));
  }).timeout(120_000);

  it("is the same DAG to Airflow 2.11, or is refused with the version that it needs", async function () {
    // The set-up says so where it found no Python that this Airflow takes.
    if (!existsSync(path.join(root, ".venv-airflow-2.11"))) this.skip();
    const old = all.filter(({ needs }) => needs === "2.11");
    await compile(old, "2.11");
    const found = await compare(".venv-airflow-2.11/bin/python", folder, "2.11", false);
    for (const { name } of old) assert.deepEqual(found[name], [], name);
    for (const { name, source, needs } of all.filter((example) => example.needs.startsWith("3."))) {
      const { diagnostics } = await compileDags([source], { root, outDir: folder, target: "2.11" });
      assert.ok(
        diagnostics.some(({ code, message }) => code === "AL401" && message.includes(`needs Airflow ${needs} or newer`)),
        `${name}: ${JSON.stringify(diagnostics)}`,
      );
    }
  }).timeout(180_000);

  it("differs where it differs: the comparison sees a changed edge, slot, schedule and rule", async () => {
    await compile(all, "3.3");
    const changes = [
      ["resources", "pool_slots=2", "pool_slots=3"],
      ["edges", "step_1 >> step_2", "step_1 >> step_7"],
      ["schedule-timezone", "Europe/Berlin", "Europe/Paris"],
      ["trigger-rules", '"all_skipped"', '"all_done"'],
      ["mapping", "each_2=[16, 32]", "each_2=[16, 33]"],
    ] as const;
    for (const [name, from, to] of changes) {
      const file = path.join(folder, `${name.replaceAll("-", "_")}.py`);
      const text = await readFile(file, "utf8");
      assert.ok(text.includes(from), `${name} has no ${from}`);
      await writeFile(file, text.replace(from, to));
    }
    const found = await compare(".venv-providers/bin/python", folder, "3.3", true);
    const different = Object.entries(found).flatMap(([name, differences]) => (differences.length > 0 ? [name] : []));
    assert.deepEqual(different.toSorted(), changes.map(([name]) => name).toSorted());
  }).timeout(120_000);
});

describe("the typed operators", () => {
  const providers: readonly (readonly [string, string, ...string[]])[] = [
    ["standard", "standard"],
    ["http", "http"],
    ["docker", "docker"],
    ["cncf-kubernetes", "cncf-kubernetes"],
    ["common-sql", "common-sql"],
    ["smtp", "smtp"],
    ["slack", "slack"],
    ["amazon", "amazon-s3", "operators.s3", "sensors.s3", "transfers.s3", "transfers.local_to_s3", "transfers.sql_to_s3"],
  ];
  for (const [provider, file, ...only] of providers)
    it(`are what apache-airflow-providers-${provider} has`, async () => {
      const described = await describeProvider(path.join(root, ".venv-providers/bin/python"), `apache-airflow-providers-${provider}`, only);
      const golden = path.join(root, `sdk/src/operators/${file}.ts`);
      const text = emitOperators(described, "../index.ts");
      if (update) await writeFile(golden, text);
      assert.equal(text, await readFile(golden, "utf8"));
    }).timeout(60_000);

  it("say how to get a provider that is not installed, and refuse what is none", async () => {
    const python = path.join(root, ".venv-providers/bin/python");
    await assert.rejects(describeProvider(python, "apache-airflow-providers-nonesuch", []), /is not installed for .*pip install/);
    await assert.rejects(describeProvider(python, "os; rm -rf", []), /is not a provider/);
  }).timeout(30_000);
});

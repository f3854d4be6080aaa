import assert from "node:assert/strict";
import { existsSync, readdirSync } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { execa } from "execa";
import { compileDags } from "../src/compiler/compile.ts";
import { formatDiagnostic } from "../src/compiler/diagnostic.ts";
import { cronProblem } from "../src/compiler/cron.ts";
import { findChanges, writeOutputs } from "../src/compiler/write.ts";
import { patientAirflow } from "../../test/patient-airflow.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));
const cases = fileURLToPath(new URL("cases/", import.meta.url));
/** Goldens change only on purpose: UPDATE_GOLDENS=1 npx mocha sdk/test/compiler.test.ts */
const update = process.env["UPDATE_GOLDENS"] === "1";

describe("compile-dags, case by case", () => {
  for (const name of readdirSync(cases))
    it(name, async () => {
      const folder = path.join(cases, name);
      const expected = ["expected.py", "expected-errors.txt"].filter((file) => existsSync(path.join(folder, file)));
      // An update decides how a case that has no golden yet ends; for any other that stands.
      if (!update)
        assert.equal(expected.length, 1, `${name} has to have expected.py or expected-errors.txt, and it has ${expected.join(" and ") || "neither"}`);
      const { files, diagnostics } = await compileDags([path.join(folder, "input.dag.ts")], { root, outDir: path.join(root, "generated-dags") });
      const errors = diagnostics.map((diagnostic) => `${formatDiagnostic(diagnostic, folder)}\n`).join("");
      const python = files.find((file) => file.name.endsWith(".py") && !file.name.startsWith("airloom_"))?.text;
      const golden = errors === "" ? "expected.py" : "expected-errors.txt";
      const text = errors === "" ? python! : errors;
      if (expected.some((file) => file !== golden))
        assert.fail(
          `${name} has ${expected.join(" and ")}, and gives what belongs into ${golden}; no update changes that: remove the other file by hand.\n${text}`,
        );
      if (update) await writeFile(path.join(folder, golden), text);
      assert.equal(text, await readFile(path.join(folder, golden), "utf8"));
    }).timeout(30_000);

  it("gives the same bytes twice, bundles and maps too", async () => {
    const input = [path.join(cases, "results-and-templates", "input.dag.ts")];
    const [first, second] = [await compileDags(input, { root, outDir: root }), await compileDags(input, { root, outDir: root })];
    assert.deepEqual(first.files, second.files);
  }).timeout(30_000);

  it("names both files when two DAGs have one id", async () => {
    const file = path.join(cases, "results-and-templates", "input.dag.ts");
    const { diagnostics } = await compileDags([file, file], { root, outDir: root });
    assert.deepEqual(
      diagnostics.map(({ code }) => code),
      ["AL106"],
    );
  }).timeout(30_000);

  it("knows the pools that package.json lists, and refuses settings there that it does not know", async () => {
    await mkdir(path.join(root, ".airloom"), { recursive: true });
    const folder = await mkdtemp(path.join(root, ".airloom/pools-"));
    try {
      const file = path.join(folder, "x.dag.ts");
      await writeFile(file, (await readFile(path.join(cases, "sensor-and-placement", "input.dag.ts"), "utf8")).replace('"small"', '"smal"'));
      const settings = async (airloom: object) => writeFile(path.join(folder, "package.json"), JSON.stringify({ type: "module", airloom }));
      await settings({ pools: ["small"] });
      const { diagnostics } = await compileDags([file], { root: folder, outDir: folder });
      assert.deepEqual(
        diagnostics.map(({ code, message }) => `${code} ${message}`),
        ['AL110 pool "smal" is none of the project\'s: small, default_pool'],
      );
      await settings({ targt: "3.0" });
      await assert.rejects(compileDags([file], { root: folder, outDir: folder }), /"airloom" in .*package\.json.*targt/);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  }).timeout(30_000);

  it("has a section in docs/diagnostics.md for each code", async () => {
    const folder = path.join(root, "sdk/src");
    const names = (await readdir(folder, { recursive: true })).filter((name) => name.endsWith(".ts"));
    const sources = names.map((name) => readFile(path.join(folder, name), "utf8"));
    const codes = new Set((await Promise.all(sources)).join("\n").match(/\bAL\d{3}\b/g));
    const docs = await readFile(path.join(root, "docs/diagnostics.md"), "utf8");
    for (const code of codes) assert.match(docs, new RegExp(`^## ${code}\\b`, "m"));
  });
});

describe("the output folder", () => {
  let folder: string;
  beforeEach(async () => (folder = await mkdtemp(path.join(tmpdir(), "out-"))));
  afterEach(() => rm(folder, { recursive: true, force: true }));
  const marked = (name: string) => ({ name, text: `# Generated by compile-dags from x.dag.ts. Edit that file, not this one.\n${name}\n` });

  it("loses stale generated files and keeps all others", async () => {
    await writeOutputs(folder, [marked("a.py"), marked("b.py")]);
    await writeFile(path.join(folder, "mine.py"), "print('mine')\n");
    assert.deepEqual(await writeOutputs(folder, [marked("a.py")]), { written: [], removed: ["b.py"] });
    assert.deepEqual((await readdir(folder)).toSorted(), ["a.py", "mine.py"]);
  });

  it("tells what --check would find, and changes nothing", async () => {
    await writeOutputs(folder, [marked("a.py"), marked("b.py")]);
    await writeFile(path.join(folder, "a.py"), "# edited by hand\n");
    assert.deepEqual(await findChanges(folder, [marked("a.py")]), { written: ["a.py"], removed: ["b.py"] });
    assert.equal(await readFile(path.join(folder, "a.py"), "utf8"), "# edited by hand\n");
  });
});

describe("cron expressions", () => {
  // The oracle is croniter's documented grammar for five fields, as Airflow reads it.
  for (const good of ["* * * * *", "*/5 0-6 1,15 jan-mar mon", "0 0 * * 7", "@daily", "59 23 31 12 *"])
    it(`takes ${good}`, () => assert.equal(cronProblem(good), undefined));
  for (const [bad, why] of [
    ["61 * * * *", /minute 61/],
    ["* * * *", /4 fields/],
    ["* 24 * * *", /hour 24/],
    ["x * * * *", /not a minute/],
    ["@sometimes", /none of/],
    ["5-1 * * * *", /backwards/],
    ["*/0 * * * *", /step of 0/],
  ] as const)
    it(`refuses ${bad}`, () => assert.match(cronProblem(bad) ?? "", why));
});

describe("the compiled DAGs in a real Airflow", () => {
  it("load without import errors, with the tasks, params and edges of their sources", async () => {
    const folder = await mkdtemp(path.join(tmpdir(), "dagbag-"));
    try {
      const inputs = ["typed-conf", "results-and-templates", "sensor-and-placement"].map((name) => path.join(cases, name, "input.dag.ts"));
      const { files, diagnostics } = await compileDags([...inputs, path.join(root, "dags-ts/labeling.dag.ts"), path.join(root, "dags-ts/training.dag.ts")], {
        root,
        outDir: folder,
      });
      assert.deepEqual(diagnostics, []);
      await writeOutputs(folder, files);
      const script = path.join(root, "sdk/test/read_dagbag.py");
      const env = { AIRFLOW_HOME: path.join(folder, ".home"), AIRFLOW__CORE__DAGS_FOLDER: folder, AIRFLOW__CORE__LOAD_EXAMPLES: "False", ...patientAirflow };
      const { stdout } = await execa(path.join(root, ".venv/bin/python"), [script, folder], { env });
      const { errors, dags } = JSON.parse(stdout.split("\n").at(-1)!) as {
        errors: object;
        dags: Record<string, { params: Record<string, unknown>; edges: string[][]; schedule: string | null; tasks: Record<string, Record<string, unknown>> }>;
      };
      assert.deepEqual(errors, {});
      assert.deepEqual(Object.keys(dags).toSorted(), ["labeling_pipeline", "results", "sensors", "training_pipeline", "typed_conf"]);
      // Text survives TypeScript → Python → Airflow.
      assert.equal(dags["typed_conf"]!.params["name"], 'x "y" \\ ü 😀');
      assert.deepEqual(dags["results"]!.edges, [["find", "use"]]);
      assert.equal(dags["results"]!.schedule, "30 2 * * mon-fri");
      assert.deepEqual(dags["results"]!.tasks["find"], {
        retries: 3,
        retry_delay: 120,
        timeout: 3600,
        trigger_rule: "all_success",
        pool: "default_pool",
        kind: "NodeTask",
      });
      assert.deepEqual(dags["sensors"]!.tasks["class"], {
        retries: 0,
        retry_delay: 30,
        timeout: null,
        trigger_rule: "all_success",
        pool: "default_pool",
        kind: "NodeSensor",
      });
      assert.deepEqual(dags["sensors"]!.tasks["end"], {
        retries: 0,
        retry_delay: 30,
        timeout: null,
        trigger_rule: "all_done",
        pool: "small",
        kind: "NodeTask",
      });
      // The handover guide's JSON is the default of both pipelines.
      const { params } = dags["labeling_pipeline"]!;
      assert.deepEqual(params, { source_id: "manual_upload", batch_size: 10, cvat_project: "MyProject", labels: ["car", "truck"], review: false });
      const { version, epochs, model_name, split } = dags["training_pipeline"]!.params;
      assert.deepEqual({ version, epochs, model_name, split }, { version: "HEAD", epochs: 10, model_name: "YOLOv8_Demo", split: 0.8 });
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  }).timeout(120_000);
});

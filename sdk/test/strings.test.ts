import assert from "node:assert/strict";
import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { execa } from "execa";
import fc from "fast-check";
import { compileDags } from "../src/compiler/compile.ts";
import { writeOutputs } from "../src/compiler/write.ts";
import { patientAirflow } from "../../test/patient-airflow.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));
const bin = (name: string) => path.join(root, ".venv/bin", name);

/** Any Unicode text, and text that Python, Jinja, a shell or a terminal would read as more than text. */
const anyText = fc.oneof(
  fc.string({ unit: "binary", maxLength: 60 }),
  fc.string({ unit: "grapheme", maxLength: 60 }),
  fc
    .array(
      fc.constantFrom(
        '"',
        "'",
        "\\",
        "\n",
        "\r",
        "\t",
        "\0",
        "{{ ds }}",
        "{% raw %}",
        "{#",
        "$(touch airloom-never)",
        "`touch airloom-never`",
        "%s",
        "\\u0041",
        '"""',
        "\u2028",
        "\u{1F600}",
        "; touch airloom-never",
      ),
      { maxLength: 12 },
    )
    .map((parts) => parts.join("")),
);

describe("any text, from TypeScript through Python and Airflow to Node and back", () => {
  it("arrives byte for byte in inputs, templates, conf and results, and reaches no shell", async () => {
    await mkdir(path.join(root, ".airloom"), { recursive: true });
    const folder = await mkdtemp(path.join(root, ".airloom/strings-"));
    try {
      const texts = fc.sample(anyText, { numRuns: 400, seed: 7 });
      const [doc = "", tooltip = ""] = texts.filter((text) => text.trim() !== "");
      const source = `
import { dag, group, task, template } from "airloom";
const texts: string[] = ${JSON.stringify(texts)};
const echo = task("echo", { doc: ${JSON.stringify(doc)} }, async (input: { texts: readonly string[]; joined: string; conf: string; table: Record<string, string> }) => input);
export default dag<{ /** @default "" */ text: string }>("probe", { schedule: null, doc: ${JSON.stringify(doc)} }, ({ conf }) => {
  group("g", { tooltip: ${JSON.stringify(tooltip)}, prefix: false }, () =>
    echo({ texts, joined: template\`<\${conf.text}>\`, conf: conf.text, table: Object.fromEntries(texts.map((text, i) => [text, String(i)])) }));
});
`;
      const file = path.join(folder, "probe.dag.ts");
      await writeFile(file, source);
      const out = path.join(folder, "out");
      const { files, diagnostics } = await compileDags([file], { root, outDir: out });
      assert.deepEqual(diagnostics, []);
      await writeOutputs(out, files);
      const conf = texts.join("").slice(0, 3000);
      const env = {
        AIRFLOW_HOME: path.join(folder, "home"),
        AIRFLOW__CORE__DAGS_FOLDER: out,
        AIRFLOW__CORE__LOAD_EXAMPLES: "False",
        ...patientAirflow,
        AIRLOOM_NODE: process.execPath,
      };
      await execa(bin("airflow"), ["db", "migrate"], { env });
      const confText = conf.replaceAll(/\p{Surrogate}/gu, "");
      const { all } = await execa(bin("python"), [path.join(root, "sdk/test/runtime/run_probe.py"), out, JSON.stringify({ text: confText })], {
        env,
        all: true,
        cwd: folder,
      });
      const { xcoms } = JSON.parse(/^RESULT (.*)$/m.exec(all)![1]!) as {
        xcoms: Record<string, { texts: string[]; joined: string; conf: string; table: Record<string, string> }>;
      };
      const got = xcoms["echo.return_value"]!;
      assert.deepEqual(got.texts, texts);
      assert.equal(got.conf, confText);
      assert.equal(got.joined, `<${confText}>`);
      assert.deepEqual(got.table, Object.fromEntries(texts.map((text, i) => [text, String(i)])));
      assert.ok(!(await readdir(folder)).includes("airloom-never"), "a value reached a shell");
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  }).timeout(120_000);

  it("refuses half a surrogate pair, which is no text", async () => {
    const { dag, task } = await import("airloom");
    const echo = task("echo", {}, async (input: { text: string }) => input.text);
    const { problems } = dag("d", { schedule: null }, () => void echo({ text: "a\ud800" })).build();
    assert.match(problems[0]?.message ?? "", /text is not Unicode: it holds half of a surrogate pair/);
  });
});

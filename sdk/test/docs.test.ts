import assert from "node:assert/strict";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { compileDags } from "../src/compiler/compile.ts";
import { type Diagnostic, formatDiagnostic } from "../src/compiler/diagnostic.ts";
import { exportsOf, openTypes } from "../src/compiler/types.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));
const docs = path.join(root, "docs");

describe("docs/", () => {
  it("has only code that compiles: DAGs as DAGs, the rest as TypeScript", async () => {
    await mkdir(path.join(root, ".airloom"), { recursive: true });
    const folder = await mkdtemp(path.join(root, ".airloom/docs-"));
    try {
      const dags: string[] = [];
      const others: string[] = [];
      for (const page of (await readdir(docs)).filter((name) => name.endsWith(".md") && name !== "api.md"))
        for (const [i, [, code = ""]] of [...(await readFile(path.join(docs, page), "utf8")).matchAll(/^```ts\n([^]*?)^```$/gm)].entries()) {
          const isDag = code.includes("export default dag");
          const file = path.join(folder, `${page.replace(".md", "")}-${i + 1}.${isDag ? "dag." : ""}ts`);
          await writeFile(file, code);
          (isDag ? dags : others).push(file);
        }
      assert.ok(dags.length > 10 && others.length > 2);
      const found: Diagnostic[] = [...(await compileDags(dags, { root, outDir: path.join(folder, "out") })).diagnostics];
      const types = openTypes(path.join(root, "tsconfig.json"));
      types.load(others);
      for (const file of others) types.read(file, undefined, found);
      assert.deepEqual(
        found.map((diagnostic) => formatDiagnostic(diagnostic, folder)),
        [],
      );
      for (const file of others.filter((name) => name.includes("testing"))) await import(file);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  }).timeout(60_000);

  it("links only to pages and sections that are there", async () => {
    for (const page of (await readdir(docs)).filter((name) => name.endsWith(".md"))) {
      const text = await readFile(path.join(docs, page), "utf8");
      for (const [, target = "", section] of text.matchAll(/\]\(([\w-]+\.md)(?:#([\w-]+))?\)/g)) {
        const other = await readFile(path.join(docs, target), "utf8");
        const headings = [...other.matchAll(/^#+ (.*)$/gm)].map(([, heading = ""]) => heading.toLowerCase());
        if (section)
          assert.ok(
            headings.some((heading) =>
              heading
                .replaceAll(/[^\w -]/g, "")
                .trim()
                .replaceAll(" ", "-")
                .startsWith(section),
            ),
            `${page}: no section ${target}#${section}`,
          );
      }
    }
  });

  it("has a reference of everything that the SDK exports (UPDATE_GOLDENS=1 renews it)", async () => {
    const modules = { airloom: "sdk/src/index.ts", "airloom/testing/simulate.ts": "sdk/src/testing/simulate.ts" };
    const sections = Object.entries(modules).map(([name, file]) => {
      const names = exportsOf(path.join(root, "tsconfig.json"), path.join(root, file));
      for (const one of names) assert.notEqual(one.doc, "", `${one.name} has no doc comment`);
      return [`## ${name}`, ...names.map((one) => `### ${one.name}\n\n${one.doc}\n\n\`\`\`typescript\n${one.text}\n\`\`\``)].join("\n\n");
    });
    const text = `# API\n\nMade from the sources by \`UPDATE_GOLDENS=1 npx mocha sdk/test/docs.test.ts\`.\n\n${sections.join("\n\n")}\n`;
    const file = path.join(docs, "api.md");
    if (process.env["UPDATE_GOLDENS"] === "1") await writeFile(file, text);
    assert.equal(text, await readFile(file, "utf8"));
  }).timeout(30_000);
});

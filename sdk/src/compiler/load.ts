import { randomUUID } from "node:crypto";
import { mkdir, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { pathToFileURL } from "node:url";
import type { Dag } from "../authoring/dag.ts";
import { bundleForLoading } from "./bundle.ts";
import type { Diagnostic } from "./diagnostic.ts";

/** The DAG that a module exports by default; problems are pushed to `diagnostics`. */
export async function loadDag(root: string, file: string, external: readonly string[], diagnostics: Diagnostic[]): Promise<Dag | undefined> {
  const start = { file, line: 1, column: 1 };
  // The stack of each call must name the TypeScript line it stands on.
  process.setSourceMapsEnabled(true);
  // Beneath node_modules, so that packages that stay external resolve as they do from the project.
  const folder = path.join(root, "node_modules/.cache/airloom");
  const temporary = path.join(folder, `${randomUUID()}.mjs`);
  try {
    const code = await bundleForLoading(root, file, external);
    await mkdir(folder, { recursive: true });
    // The map's sources are relative to `root`: say so, or the places in stacks would lie beneath the cache folder.
    await writeFile(temporary, rebaseSourceMap(code, root));
    const module = (await import(pathToFileURL(temporary).href)) as { default?: Dag };
    if (module.default?.kind === "dag") return module.default;
    diagnostics.push({ code: "AL002", message: "the module does not export a DAG: write `export default dag(…)`", at: start });
  } catch (error) {
    diagnostics.push(...loadProblems(root, error as Error & { errors?: EsbuildError[] }, start));
  } finally {
    await rm(temporary, { force: true });
  }
  return undefined;
}

interface EsbuildError {
  readonly text: string;
  readonly location: { readonly file: string; readonly line: number; readonly column: number } | null;
}

function loadProblems(root: string, error: Error & { errors?: EsbuildError[] }, start: Diagnostic["at"]): Diagnostic[] {
  if (Array.isArray(error.errors))
    return error.errors.map(({ text, location }) => ({
      code: "AL001",
      message: text,
      at: location ? { file: path.resolve(root, location.file), line: location.line, column: location.column + 1 } : start,
    }));
  const [, file, line, column] = /\(?(?:file:\/\/)?(\/[^():]+\.ts):(\d+):(\d+)\)?/.exec(error.stack ?? "") ?? [];
  return [{ code: "AL003", message: `the module threw: ${error.message}`, at: file ? { file, line: Number(line), column: Number(column) } : start }];
}

function rebaseSourceMap(code: string, root: string): string {
  return code.replace(/(\/\/# sourceMappingURL=data:application\/json;base64,)([\w+/=]+)/, (_, prefix: string, base64: string) => {
    const map = JSON.parse(Buffer.from(base64, "base64").toString()) as { sources: string[] };
    map.sources = map.sources.map((source) => pathToFileURL(path.resolve(root, source)).href);
    return prefix + Buffer.from(JSON.stringify(map)).toString("base64");
  });
}

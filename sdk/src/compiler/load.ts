import { createRequire, SourceMap } from "node:module";
import path from "node:path";
import { compileFunction } from "node:vm";
import { type CallSite, sitesIn } from "../authoring/call-site.ts";
import type { Dag } from "../authoring/dag.ts";
import { bundleForLoading } from "./bundle.ts";
import type { Diagnostic } from "./diagnostic.ts";

/** A DAG module that was executed, and the way from places in its running code to places in its source. */
export interface LoadedDag {
  readonly dag: Dag;
  /** Files that were executed to build it. */
  readonly sources: readonly string[];
  locate(site: CallSite | undefined): CallSite | undefined;
}

/**
 * Executes a DAG module and gives its default export; problems are pushed to `diagnostics`. The module runs as a script of
 * its own, not through `import`: a watcher would otherwise keep every version of it in memory.
 */
export async function loadDag(root: string, file: string, external: readonly string[], diagnostics: Diagnostic[]): Promise<LoadedDag | undefined> {
  const start = { file, line: 1, column: 1 };
  const filename = path.join(root, `${path.basename(file)}.compiled.cjs`);
  let locate: LoadedDag["locate"] = (site) => site;
  try {
    const { code, map } = await bundleForLoading(root, file, external);
    const sourceMap = new SourceMap(map);
    locate = (site) => {
      if (site?.file !== filename) return site;
      const entry = sourceMap.findEntry(site.line - 1, site.column - 1);
      return "originalSource" in entry
        ? { file: path.resolve(root, entry.originalSource), line: entry.originalLine + 1, column: entry.originalColumn + 1 }
        : start;
    };
    const module: { exports: { default?: Dag } } = { exports: {} };
    const run = compileFunction(code, ["module", "exports", "require"], { filename });
    run(module, module.exports, createRequire(filename));
    const dag = module.exports.default;
    if (dag?.kind === "dag") return { dag, locate, sources: map.sources.map((source) => path.resolve(root, source)) };
    diagnostics.push({ code: "AL002", message: "the module does not export a DAG: write `export default dag(…)`", at: start });
  } catch (error) {
    diagnostics.push(...loadProblems(root, error as Error & { errors?: EsbuildError[] }, start, locate));
  }
  return undefined;
}

interface EsbuildError {
  readonly text: string;
  readonly location: { readonly file: string; readonly line: number; readonly column: number } | null;
}

function loadProblems(root: string, error: Error & { errors?: EsbuildError[] }, start: CallSite, locate: LoadedDag["locate"]): Diagnostic[] {
  if (Array.isArray(error.errors))
    return error.errors.map(({ text, location }) => ({
      code: "AL001",
      message: text,
      at: location ? { file: path.resolve(root, location.file), line: location.line, column: location.column + 1 } : start,
    }));
  return [{ code: "AL003", message: `the module threw: ${error.message}`, at: throwSite(error, locate) ?? start }];
}

/** The innermost place of an error's stack that lies in a TypeScript source. */
export function throwSite(error: Error, locate: LoadedDag["locate"]): CallSite | undefined {
  return sitesIn(error.stack ?? "")
    .map(locate)
    .find((site) => site?.file.endsWith(".ts"));
}

import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { bundleForRunning, type OutputFile } from "./bundle.ts";
import { checkGraph } from "./check.ts";
import type { Diagnostic } from "./diagnostic.ts";
import { emitPython, markerFor } from "./emit-python.ts";
import type { Dag } from "../authoring/dag.ts";
import { type DagGraph, deepFreeze } from "../ir/ir.ts";
import { loadDag, type LoadedDag, throwSite } from "./load.ts";
import { readTypes, type Schema } from "./types.ts";

/** What a compilation made, and what was wrong. Files are complete only where there are no diagnostics. */
export interface Compiled {
  readonly files: readonly OutputFile[];
  readonly diagnostics: readonly Diagnostic[];
  /** Every source that the result depends on. */
  readonly sources: readonly string[];
}

export interface CompileOptions {
  /** The project: sources are named relative to it, and packages are found beneath it. */
  readonly root: string;
  readonly outDir: string;
}

const here = path.dirname(fileURLToPath(import.meta.url));

/** Compiles DAG files: load → read types → check → emit. Writes nothing. */
export async function compileDags(files: readonly string[], { root, outDir }: CompileOptions): Promise<Compiled> {
  const external = await externalPackages(root);
  const results = await Promise.all(files.map((file) => compileOne(file, root, outDir, external)));
  const diagnostics = [...results.flatMap((result) => result.diagnostics), ...sharedIds(results)];
  const helper = await readFile(path.join(here, "../../python/airloom_runtime.py"), "utf8");
  const common: OutputFile[] = [
    { name: "airloom_runtime.py", text: `${markerFor("#", "the Airloom SDK")}\n${helper}` },
    { name: ".airflowignore", text: `${markerFor("#", "the Airloom SDK")}\nairloom_runtime\n` },
  ];
  return { files: [...common, ...results.flatMap((result) => result.files)], diagnostics, sources: [...new Set(results.flatMap((result) => result.sources))] };
}

interface OneResult extends Compiled {
  readonly dagId: string | undefined;
  readonly file: string;
}

async function compileOne(file: string, root: string, outDir: string, external: readonly string[]): Promise<OneResult> {
  const diagnostics: Diagnostic[] = [];
  const none: OneResult = { files: [], diagnostics, sources: [file], dagId: undefined, file };
  const loaded = await loadDag(root, file, external, diagnostics);
  if (!loaded) return none;
  const built = build(loaded, diagnostics, file);
  if (!built) return none;
  const graph = withSources(built.graph, loaded.locate);
  diagnostics.push(...built.problems.map((problem) => ({ ...problem, at: loaded.locate(problem.at) })));
  const types = readTypes(findUp("tsconfig.json", path.dirname(file)), file, graph.definedAt, diagnostics);
  diagnostics.push(...checkGraph(graph, types.conf));
  const schemas: Record<string, Schema> = {};
  const taskDocs = new Map<string, string | undefined>();
  for (const task of graph.tasks) {
    const found = task.definedAt && types.taskAt(task.definedAt);
    if (!found) continue;
    schemas[task.id] = found.input;
    taskDocs.set(task.id, found.doc);
  }
  if (diagnostics.length > 0) return { ...none, sources: loaded.sources, dagId: graph.id };

  const source = path.relative(root, file).replaceAll(path.sep, "/");
  const { files: bundles, sources } = await bundleForRunning(root, outDir, graph.id, entryFor(file, schemas), external);
  const python = emitPython({ graph, conf: types.conf, doc: types.doc, taskDocs, source, bundle: `${graph.id}.mjs` });
  const marked = bundles.map(({ name, text }) => ({ name, text: name.endsWith(".mjs") ? `${markerFor("//", source)}\n${text}` : text }));
  return { files: [{ name: `${graph.id}.py`, text: python }, ...marked.map(shiftMap)], diagnostics, sources, dagId: graph.id, file };
}

function build({ dag, locate }: LoadedDag, diagnostics: Diagnostic[], file: string): ReturnType<Dag["build"]> | undefined {
  try {
    return dag.build();
  } catch (error) {
    const at = throwSite(error as Error, locate) ?? { file, line: 1, column: 1 };
    diagnostics.push({ code: "AL003", message: `the DAG function threw: ${(error as Error).message}`, at });
    return undefined;
  }
}

/** The graph with every place in its TypeScript source. */
function withSources(graph: DagGraph, locate: LoadedDag["locate"]): DagGraph {
  const tasks = graph.tasks.map((task) => ({ ...task, placedAt: locate(task.placedAt), definedAt: locate(task.definedAt) }));
  return deepFreeze({ ...graph, tasks, definedAt: locate(graph.definedAt) });
}

/** The marker is a line above what the map was made for. */
function shiftMap({ name, text }: OutputFile): OutputFile {
  if (!name.endsWith(".map")) return { name, text };
  const map = JSON.parse(text) as { mappings: string };
  return { name, text: `${JSON.stringify({ ...map, mappings: `;${map.mappings}` })}\n` };
}

function entryFor(file: string, schemas: Record<string, Schema>): string {
  const runtime = path.join(here, "../runtime/serve.ts");
  return [
    `import dag from ${JSON.stringify(file)};`,
    `import { serve } from ${JSON.stringify(existsSync(runtime) ? runtime : "airloom/runtime/serve.ts")};`,
    `await serve(dag, ${JSON.stringify(schemas)});`,
  ].join("\n");
}

function sharedIds(results: readonly OneResult[]): Diagnostic[] {
  const first = new Map<string, string>();
  return results.flatMap(({ dagId, file }) => {
    if (dagId === undefined) return [];
    const other = first.get(dagId);
    first.set(dagId, other ?? file);
    return other
      ? [{ code: "AL106", message: `DAG id "${dagId}" is also that of ${path.basename(other)}: Airflow would show only one`, at: { file, line: 1, column: 1 } }]
      : [];
  });
}

function findUp(name: string, folder: string): string | undefined {
  const file = path.join(folder, name);
  if (existsSync(file)) return file;
  const parent = path.dirname(folder);
  return parent === folder ? undefined : findUp(name, parent);
}

/** Packages with native parts cannot be bundled; package.json lists them as `"airloom": { "external": […] }`. */
async function externalPackages(root: string): Promise<string[]> {
  const file = path.join(root, "package.json");
  if (!existsSync(file)) return [];
  const { airloom } = JSON.parse(await readFile(file, "utf8")) as { airloom?: { external?: string[] } };
  return airloom?.external ?? [];
}

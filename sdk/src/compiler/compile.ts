import { readFile } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { bundleForRunning, bundleRuntime, type OutputFile } from "./bundle.ts";
import { checkGraph } from "./check.ts";
import type { Diagnostic } from "./diagnostic.ts";
import { emitPython, markerFor } from "./emit-python.ts";
import type { BuiltDag } from "../authoring/dag.ts";
import { type DagGraph, deepFreeze } from "../ir/ir.ts";
import { findUp } from "./find-up.ts";
import { packForCoordinator } from "./pack.ts";
import { loadDag, type LoadedDag, throwSite } from "./load.ts";
import { readProject, type ProjectSettings } from "./project.ts";
import { defaultTarget, type Target } from "./target.ts";
import { openTypes, type Schema, type TypeReader } from "./types.ts";
import { chooseTransports } from "./transport.ts";

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
  /** The oldest Airflow that the DAGs must run on. @default "airloom.target" of package.json, else 3.3 */
  readonly target?: Target | undefined;
  /** Whether tasks may run through Airflow's coordinator. @default "airloom.coordinator" of package.json */
  readonly coordinator?: boolean | undefined;
  /** Whether to pack `<dag>.min.mjs` for the NodeCoordinator of Airflow 3.4 as well. @default false */
  readonly pack?: boolean | undefined;
}

/** Compiles DAG files again and again; what a change did not touch is not made anew. */
export interface Compiler {
  /** `changed`: the sources that were saved since the last time; all of them where undefined. */
  compile(files: readonly string[], changed?: ReadonlySet<string>): Promise<Compiled>;
}

const here = path.dirname(fileURLToPath(import.meta.url));
const helpers = [
  "airloom_runtime.py",
  "airloom_values.py",
  "airloom_process.py",
  "airloom_assets.py",
  "airloom_runs.py",
  "airloom_containers.py",
  "airloom_coordinator.py",
];

/** Compiles DAG files: load → read types → check → emit. Writes nothing. */
export const compileDags = (files: readonly string[], options: CompileOptions): Promise<Compiled> => openCompiler(options).compile(files);

/** Opens a compiler that keeps what it has read. */
export function openCompiler({ root, outDir, target, coordinator, pack }: CompileOptions): Compiler {
  const known = new Map<string, OneResult>();
  const typeReaders = new Map<string | undefined, TypeReader>();
  let runtime: Promise<OutputFile[]> | undefined;
  return {
    async compile(files, changed) {
      const given = await readProject(root);
      const project = { ...given, coordinator: coordinator ?? given.coordinator };
      const context = { root, outDir, project, pack: pack ?? false, target: target ?? project.target ?? defaultTarget };
      const isStale = (file: string) => {
        const before = known.get(file);
        return !before || !changed || before.diagnostics.length > 0 || before.sources.some((source) => changed.has(source));
      };
      // A saved file that no bundle holds may be one that only types come from: then any DAG may be touched.
      const touched = changed && [...changed].every((file) => [...known.values()].some((result) => result.sources.includes(file)));
      const stale = files.filter((file) => (touched ? isStale(file) : true));
      // Bundling runs beside reading types: esbuild has threads of its own.
      const loaded = stale.map((file) => load(file, context));
      const types = loadTypes(files, typeReaders);
      for (const result of await Promise.all(loaded.map(async (part) => finish(await part, types, context)))) known.set(result.file, result);
      const results = files.map((file) => known.get(file)!);
      runtime ??= bundleRuntime(path.join(here, "../runtime/serve.ts"));
      const common = [...(await Promise.all(helpers.map(readHelper))), ...(await runtime).map((output) => marked(output, "the Airloom SDK"))];
      return {
        files: [
          ...common,
          { name: ".airflowignore", text: `${markerFor("#", "the Airloom SDK")}\n${helpers.join("\n")}\n` },
          ...results.flatMap((result) => result.files),
        ],
        diagnostics: [...results.flatMap((result) => result.diagnostics), ...sharedIds(results)],
        sources: [...new Set(results.flatMap((result) => result.sources))],
      };
    },
  };
}

async function readHelper(name: string): Promise<OutputFile> {
  return { name, text: `${markerFor("#", "the Airloom SDK")}\n${await readFile(path.join(here, "../../python", name), "utf8")}` };
}

/** The type reader of each file, loaded with all files of its tsconfig at once. */
function loadTypes(files: readonly string[], readers: Map<string | undefined, TypeReader>): (file: string) => TypeReader {
  const configOf = (file: string) => findUp("tsconfig.json", path.dirname(file));
  for (const config of new Set(files.map(configOf))) {
    const reader = readers.get(config) ?? openTypes(config);
    readers.set(config, reader);
    reader.load(files.filter((file) => configOf(file) === config));
  }
  return (file) => readers.get(configOf(file))!;
}

interface Context {
  readonly root: string;
  readonly outDir: string;
  readonly project: ProjectSettings;
  readonly pack: boolean;
  readonly target: Target;
}

interface OneResult extends Compiled {
  readonly dagId: string | undefined;
  readonly file: string;
}

interface LoadedFile {
  readonly file: string;
  readonly loaded: LoadedDag | undefined;
  readonly diagnostics: Diagnostic[];
}

async function load(file: string, { root, project }: Context): Promise<LoadedFile> {
  const diagnostics: Diagnostic[] = [];
  return { file, loaded: await loadDag(root, file, project.external, diagnostics), diagnostics };
}

async function finish({ file, loaded, diagnostics }: LoadedFile, typesOf: (file: string) => TypeReader, context: Context): Promise<OneResult> {
  const { root, outDir, project, target } = context;
  const none: OneResult = { files: [], diagnostics, sources: [file], dagId: undefined, file };
  if (!loaded) return none;
  const built = build(loaded, diagnostics, file);
  if (!built) return { ...none, sources: loaded.sources };
  const located = withSources(built.graph, loaded.locate);
  diagnostics.push(...built.problems.map((problem) => ({ ...problem, at: loaded.locate(problem.at) })));
  const types = typesOf(file).read(file, located.definedAt, diagnostics);
  diagnostics.push(...checkGraph(located, types.conf, { target, pools: project.pools }));
  const schemas: Record<string, Schema> = {};
  const taskDocs = new Map<string, string | undefined>();
  for (const task of located.tasks) {
    const found = task.kind !== "operator" && task.kind !== "items" && task.definedAt ? types.taskAt(task.definedAt) : undefined;
    if (!found) continue;
    schemas[task.id] = found.input;
    taskDocs.set(task.id, found.doc);
  }
  if (diagnostics.length > 0) return { ...none, sources: loaded.sources, dagId: located.id };

  const graph = chooseTransports(located, target, project);
  const source = path.relative(root, file).replaceAll(path.sep, "/");
  const { files: bundles, sources } = await bundleForRunning(root, outDir, graph.id, entryFor(file, schemas, types.conf), project.external);
  const python = emitPython({ graph, conf: types.conf, doc: types.doc, taskDocs, source, bundle: `${graph.id}.mjs`, target, root });
  const nodeTasks = graph.tasks.filter((task) => task.kind !== "operator" && task.kind !== "items").map((task) => task.id);
  const whole = () => entryFor(file, schemas, types.conf).replace("airloom:runtime", path.join(here, "../runtime/serve.ts").replaceAll(path.sep, "/"));
  const packed = context.pack ? [await packForCoordinator(root, graph.id, nodeTasks, whole(), project.external)] : [];
  return {
    files: [{ name: `${graph.id}.py`, text: python }, ...bundles.map((bundle) => marked(bundle, source)), ...packed],
    diagnostics,
    sources,
    dagId: graph.id,
    file,
  };
}

function build({ dag, locate }: LoadedDag, diagnostics: Diagnostic[], file: string): BuiltDag | undefined {
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
  const groups = graph.groups.map((group) => ({ ...group, placedAt: locate(group.placedAt) }));
  return deepFreeze({ ...graph, tasks, groups, definedAt: locate(graph.definedAt) });
}

/** A script under its marker; its map is moved down by the line that the marker takes. */
function marked({ name, text }: OutputFile, source: string): OutputFile {
  if (!name.endsWith(".map")) return { name, text: `${markerFor("//", source)}\n${text}` };
  const map = JSON.parse(text) as { mappings: string };
  return { name, text: `${JSON.stringify({ ...map, mappings: `;${map.mappings}` })}\n` };
}

function entryFor(file: string, schemas: Record<string, Schema>, conf: Schema): string {
  return [
    `import dag from ${JSON.stringify(file)};`,
    `import { serve } from "airloom:runtime";`,
    `await serve(dag, ${JSON.stringify(schemas)}, ${JSON.stringify(conf)});`,
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

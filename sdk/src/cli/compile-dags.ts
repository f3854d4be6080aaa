import { statSync, watch } from "node:fs";
import { readdir, stat } from "node:fs/promises";
import path from "node:path";
import { Command } from "commander";
import { type Compiler, openCompiler } from "../compiler/compile.ts";
import { type Diagnostic, formatDiagnostic } from "../compiler/diagnostic.ts";
import { defaultTarget, isTarget, targets } from "../compiler/target.ts";
import { type Changes, findChanges, writeOutputs } from "../compiler/write.ts";

interface Options {
  readonly out: string;
  readonly check?: true;
  readonly watch?: true;
  readonly target?: string;
  readonly json?: true;
  readonly pack?: true;
}

/** The DAG files that paths name: files themselves, and `*.dag.ts` in folders. */
async function dagFiles(paths: readonly string[]): Promise<string[]> {
  const found: string[] = [];
  for (const name of paths) {
    const full = path.resolve(name);
    const info = await stat(full).catch(() => undefined);
    if (!info) throw new Error(`${name} does not exist: name a DAG file, or a folder of *.dag.ts files`);
    if (info.isFile()) found.push(full);
    else for (const entry of await readdir(full)) if (entry.endsWith(".dag.ts")) found.push(path.join(full, entry));
  }
  if (found.length === 0) throw new Error(`no *.dag.ts files in ${paths.join(", ")}`);
  return [...new Set(found)].toSorted();
}

interface Round {
  readonly code: number;
  readonly sources: readonly string[];
}

/** Compiles once and says what changed; gives the exit code and the sources that were read. */
async function compileOnce(compiler: Compiler, paths: readonly string[], options: Options, changed?: ReadonlySet<string>): Promise<Round> {
  const root = process.cwd();
  const outDir = path.resolve(options.out);
  const started = performance.now();
  const files = await dagFiles(paths);
  const { files: outputs, diagnostics, sources } = await compiler.compile(files, changed);
  const found = diagnostics.length > 0;
  const changes = found ? { written: [], removed: [] } : options.check ? await findChanges(outDir, outputs) : await writeOutputs(outDir, outputs);
  const stale = options.check === true && changes.written.length + changes.removed.length > 0;
  const milliseconds = Math.round(performance.now() - started);
  if (options.json) {
    const places = diagnostics.map(({ code, message, at }) => ({
      code,
      message,
      ...(at && { ...at, file: path.relative(root, at.file) }),
      docs: docsOf(code),
    }));
    console.log(JSON.stringify({ ok: !found && !stale, dags: files.length, milliseconds, diagnostics: places, ...changes }));
  } else report(diagnostics, changes, stale, { options, files, milliseconds, root });
  return { code: found || stale ? 1 : 0, sources };
}

const docsOf = (code: string) => (code.startsWith("AL") ? `docs/diagnostics.md#${code.toLowerCase()}` : null);

function report(
  diagnostics: readonly Diagnostic[],
  changes: Changes,
  stale: boolean,
  { options, files, milliseconds, root }: { options: Options; files: readonly string[]; milliseconds: number; root: string },
): void {
  for (const diagnostic of diagnostics) console.error(formatDiagnostic(diagnostic, root));
  if (diagnostics.length > 0) return console.error(`${diagnostics.length} problem${diagnostics.length > 1 ? "s" : ""}; nothing was written`);
  const name = (file: string) => path.join(options.out, file);
  if (stale) {
    for (const file of changes.written) console.error(`${name(file)} is not what its source compiles to`);
    for (const file of changes.removed) console.error(`${name(file)} has no source any more`);
    return console.error("Run compile-dags and commit what it writes.");
  }
  for (const file of changes.written) console.log(`  wrote   ${name(file)}`);
  for (const file of changes.removed) console.log(`  removed ${name(file)}`);
  const count = changes.written.length + changes.removed.length;
  const seconds = milliseconds < 1000 ? `${milliseconds} ms` : `${(milliseconds / 1000).toFixed(1)} s`;
  console.log(`${files.length} DAG${files.length > 1 ? "s" : ""} compiled in ${seconds}${count === 0 ? ", nothing changed" : ""}`);
}

async function main(paths: readonly string[], options: Options): Promise<void> {
  if (options.target !== undefined && !isTarget(options.target)) throw new Error(`--target ${options.target} is none of ${targets.join(", ")}`);
  const compiler = openCompiler({ root: process.cwd(), outDir: path.resolve(options.out), target: options.target, pack: options.pack });
  const first = await compileOnce(compiler, paths, options);
  process.exitCode = first.code;
  if (!options.watch) return;
  if (!options.json) console.log("Watching. Ctrl-C ends it.");
  const watched = new Set<string>();
  const changed = new Set<string>();
  let timer: NodeJS.Timeout | undefined;
  let running = Promise.resolve();
  const round = async () => {
    const now = new Set(changed);
    changed.clear();
    if (now.size === 0) return;
    try {
      watchAll((await compileOnce(compiler, paths, options, now)).sources);
    } catch (error) {
      fail(error);
    }
  };
  // Folders, not files: editors replace a file, and a watch on it would stay with the old one.
  const watchAll = (sources: readonly string[]) => {
    for (const folder of new Set([...paths.map((name) => path.resolve(name)).filter(isFolder), ...sources.map((source) => path.dirname(source))])) {
      if (watched.has(folder) || folder.includes(`${path.sep}node_modules${path.sep}`)) continue;
      watched.add(folder);
      watch(folder, (_, name) => {
        if (!name || !/\.[cm]?ts$/.test(name)) return;
        changed.add(path.join(folder, name));
        clearTimeout(timer);
        // An editor writes a file in several steps; they come within a few milliseconds.
        timer = setTimeout(() => void (running = running.then(round)), 20);
      });
    }
  };
  watchAll(first.sources);
}

const isFolder = (name: string) => statSync(name).isDirectory();

function fail(error: unknown): void {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}

const program = new Command("compile-dags")
  .description("Compiles TypeScript DAGs to what Airflow reads: a Python file and a Node bundle each, and one helper module.")
  .argument("[paths...]", "DAG files, or folders of *.dag.ts files", ["dags-ts"])
  .option("--out <folder>", "where the output goes", "generated-dags")
  .option("--check", "write nothing; fail where the output is not up to date")
  .option("--watch", "compile again whenever a source changes")
  .option(
    "--target <version>",
    `the oldest Airflow that the DAGs must run on: ${targets.join(", ")} (default: package.json's airloom.target, else ${defaultTarget})`,
  )
  .option("--pack", "also write <dag>.min.mjs, for the NodeCoordinator of Airflow 3.4")
  .option("--json", "one line of JSON for each compilation instead of text")
  .action((paths: string[], options: Options) => main(paths, options));
await program.parseAsync().catch(fail);

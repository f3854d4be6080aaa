import { statSync, watch } from "node:fs";
import { readdir, stat } from "node:fs/promises";
import path from "node:path";
import { Command } from "commander";
import { compileDags } from "../compiler/compile.ts";
import { formatDiagnostic } from "../compiler/diagnostic.ts";
import { findChanges, writeOutputs } from "../compiler/write.ts";

interface Options {
  readonly out: string;
  readonly check?: true;
  readonly watch?: true;
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

/** Compiles once and says what changed; gives the exit code and the sources that were read. */
async function compileOnce(paths: readonly string[], options: Options): Promise<{ code: number; sources: readonly string[] }> {
  const root = process.cwd();
  const outDir = path.resolve(options.out);
  const started = performance.now();
  const files = await dagFiles(paths);
  const { files: outputs, diagnostics, sources } = await compileDags(files, { root, outDir });
  for (const diagnostic of diagnostics) console.error(formatDiagnostic(diagnostic, root));
  if (diagnostics.length > 0) {
    console.error(`${diagnostics.length} problem${diagnostics.length > 1 ? "s" : ""}; nothing was written`);
    return { code: 1, sources };
  }
  const changes = options.check ? await findChanges(outDir, outputs) : await writeOutputs(outDir, outputs);
  const count = changes.written.length + changes.removed.length;
  if (options.check && count > 0) {
    for (const name of changes.written) console.error(`${path.join(options.out, name)} is not what its source compiles to`);
    for (const name of changes.removed) console.error(`${path.join(options.out, name)} has no source any more`);
    console.error("Run compile-dags and commit what it writes.");
    return { code: 1, sources };
  }
  for (const name of changes.written) console.log(`  wrote   ${path.join(options.out, name)}`);
  for (const name of changes.removed) console.log(`  removed ${path.join(options.out, name)}`);
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  console.log(`${files.length} DAG${files.length > 1 ? "s" : ""} compiled in ${seconds} s${count === 0 ? ", nothing changed" : ""}`);
  return { code: 0, sources };
}

async function main(paths: readonly string[], options: Options): Promise<void> {
  const first = await compileOnce(paths, options);
  process.exitCode = first.code;
  if (!options.watch) return;
  console.log("Watching. Ctrl-C ends it.");
  const watched = new Set<string>();
  let timer: NodeJS.Timeout | undefined;
  // Folders, not files: editors replace a file, and a watch on it would stay with the old one.
  const watchAll = (sources: readonly string[]) => {
    for (const folder of new Set([...paths.map((name) => path.resolve(name)).filter(isFolder), ...sources.map((source) => path.dirname(source))])) {
      if (watched.has(folder) || folder.includes(`${path.sep}node_modules${path.sep}`)) continue;
      watched.add(folder);
      watch(folder, (_, name) => {
        if (!name?.endsWith(".ts")) return;
        clearTimeout(timer);
        timer = setTimeout(() => void compileOnce(paths, options).then(({ sources: now }) => watchAll(now), report), 50);
      });
    }
  };
  watchAll(first.sources);
}

const isFolder = (name: string) => statSync(name).isDirectory();

function report(error: unknown): void {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}

const program = new Command("compile-dags")
  .description("Compiles TypeScript DAGs to what Airflow reads: a Python file and a Node bundle each, and one helper module.")
  .argument("[paths...]", "DAG files, or folders of *.dag.ts files", ["dags-ts"])
  .option("--out <folder>", "where the output goes", "generated-dags")
  .option("--check", "write nothing; fail where the output is not up to date")
  .option("--watch", "compile again whenever a source changes")
  .action((paths: string[], options: Options) => main(paths, options));
await program.parseAsync().catch(report);

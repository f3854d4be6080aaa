import { readFile } from "node:fs/promises";
import type { SourceMapPayload } from "node:module";
import path from "node:path";
import { pathToFileURL } from "node:url";
import { build, type BuildOptions, type Plugin } from "esbuild";

/** A file to be written: its name within the output folder, and its text. */
export interface OutputFile {
  readonly name: string;
  readonly text: string;
}

const sources = /\.[cm]?[jt]s$/;
const workerReference = /new URL\(\s*"(\.\.?\/[^"]+\.[cm]?ts)"\s*,\s*import\.meta\.url\s*,?\s*\)/g;

/** Finds `new URL("./x.ts", import.meta.url)`: the program of a thread or child process, which gets a bundle of its own. */
function workerEntries(prefix: string, found: Map<string, string>): Plugin {
  return {
    name: "worker-entries",
    setup({ onLoad }) {
      onLoad({ filter: sources, namespace: "file" }, async ({ path: file }) => {
        if (file.includes(`${path.sep}node_modules${path.sep}`)) return undefined;
        const text = await readFile(file, "utf8");
        if (!text.includes("import.meta.url")) return undefined;
        const contents = text.replace(workerReference, (_, target: string) => {
          const source = path.resolve(path.dirname(file), target);
          const name = `${prefix}.${path.basename(source).replace(/\.[cm]?ts$/, "")}.mjs`;
          found.set(source, name);
          return `new URL("./${name}", import.meta.url)`;
        });
        return { contents, loader: file.endsWith("ts") ? "ts" : "js" };
      });
    },
  };
}

function commonOptions(root: string, external: readonly string[]): BuildOptions {
  return {
    absWorkingDir: root,
    bundle: true,
    platform: "node",
    format: "esm",
    target: "node20",
    external: [...external],
    logLevel: "silent",
    write: false,
    legalComments: "none",
    sourcesContent: false,
    // CommonJS packages in an ES module bundle still call require for Node's own modules.
    banner: { js: 'import { createRequire as __createRequire } from "node:module"; const require = __createRequire(import.meta.url);' },
  };
}

/** Handlers do not run while a DAG compiles, so what they import when they run need not be bundled for that. */
const leaveDynamicImports: Plugin = {
  name: "leave-dynamic-imports",
  setup({ onResolve }) {
    onResolve({ filter: /.*/ }, ({ kind, path: target }) => (kind === "dynamic-import" ? { path: target, external: true } : undefined));
  },
};

/** The DAG module and what it imports at once as one CommonJS script, and its source map, to be executed by the compiler. */
export async function bundleForLoading(root: string, file: string, external: readonly string[]): Promise<{ code: string; map: SourceMapPayload }> {
  const result = await build({
    ...commonOptions(root, external),
    format: "cjs",
    banner: {},
    define: { "import.meta.url": JSON.stringify(pathToFileURL(file).href) },
    entryPoints: [file],
    outfile: path.join(root, "dag.cjs"),
    sourcemap: "external",
    plugins: [leaveDynamicImports],
  });
  const text = (suffix: string) => result.outputFiles!.find((output) => output.path.endsWith(suffix))!.text;
  return { code: text(".cjs"), map: JSON.parse(text(".map")) as SourceMapPayload };
}

/** The name of what all bundles share: the runtime, beside them. */
export const runtimeName = "airloom_runtime.mjs";

/** A DAG's bundle leaves the runtime where it is: it is the same for all. */
const leaveRuntime: Plugin = {
  name: "leave-runtime",
  setup({ onResolve }) {
    onResolve({ filter: /^airloom:runtime$/ }, () => ({ path: `./${runtimeName}`, external: true }));
  },
};

/** The runtime as one file with its source map. */
export async function bundleRuntime(entry: string): Promise<OutputFile[]> {
  const root = path.dirname(entry);
  const result = await build({ ...commonOptions(root, []), entryPoints: [entry], outfile: path.join(root, runtimeName), sourcemap: "linked", minify: true });
  return (result.outputFiles ?? []).map((file) => ({ name: path.basename(file.path), text: file.text }));
}

/** A program with all that it needs in one file, runtime included. */
export async function bundleWhole(root: string, entry: string, external: readonly string[]): Promise<string> {
  const stdin = { contents: entry, resolveDir: root, sourcefile: "pack.entry.ts", loader: "ts" } as const;
  const result = await build({ ...commonOptions(root, external), stdin, minify: true });
  return result.outputFiles![0]!.text;
}

/** The bundle of a DAG's tasks and those of the threads and children they start, with source maps; and all sources in them. */
export async function bundleForRunning(
  root: string,
  outDir: string,
  name: string,
  entry: string,
  external: readonly string[],
): Promise<{ files: OutputFile[]; sources: string[] }> {
  const files: OutputFile[] = [];
  const sources = new Set<string>();
  const queue: { outfile: string; entry: { contents: string } | { file: string } }[] = [{ outfile: `${name}.mjs`, entry: { contents: entry } }];
  const done = new Set<string>();
  for (let next = queue.shift(); next; next = queue.shift()) {
    if (done.has(next.outfile)) continue;
    done.add(next.outfile);
    const workers = new Map<string, string>();
    const input: BuildOptions =
      "file" in next.entry
        ? { entryPoints: [next.entry.file] }
        : { stdin: { contents: next.entry.contents, resolveDir: root, sourcefile: `${name}.entry.ts`, loader: "ts" } };
    const result = await build({
      ...commonOptions(root, external),
      ...input,
      outfile: path.join(outDir, next.outfile),
      metafile: true,
      sourcemap: "linked",
      minifyWhitespace: true,
      minifySyntax: true,
      plugins: [workerEntries(name, workers), leaveRuntime],
    });
    for (const file of result.outputFiles ?? []) files.push({ name: path.basename(file.path), text: file.text });
    for (const source of Object.keys(result.metafile?.inputs ?? {})) sources.add(path.resolve(root, source));
    for (const [file, outfile] of workers) queue.push({ outfile, entry: { file } });
  }
  return { files, sources: [...sources] };
}

import { createRequire } from "node:module";
import path from "node:path";
import { pathToFileURL } from "node:url";
import { Worker } from "node:worker_threads";

/**
 * A thread that runs the module at `url`. From a bundle that is JavaScript; from the sources it is TypeScript, for which
 * the thread registers tsx first, since Node 20 does not hand a loader on to its threads.
 */
export function startWorker(url: URL, workerData: unknown): Worker {
  if (!url.pathname.endsWith(".ts")) return new Worker(url, { workerData });
  // Not import.meta.resolve: under mocha there is none.
  const folder = path.dirname(createRequire(import.meta.url).resolve("tsx/package.json"));
  const tsx = JSON.stringify(pathToFileURL(path.join(folder, "dist/esm/api/index.mjs")).href);
  const code = `import(${tsx}).then(({ register }) => { register(); return import(${JSON.stringify(url.href)}); })`;
  return new Worker(code, { eval: true, workerData });
}

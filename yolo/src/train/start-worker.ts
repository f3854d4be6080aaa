import { Worker } from "node:worker_threads";

/**
 * A thread that runs the module at `url`. From a bundle that is JavaScript; from the sources it is TypeScript, for which
 * the thread registers tsx first, since Node 20 does not hand a loader on to its threads.
 */
export function startWorker(url: URL, workerData: unknown): Worker {
  if (!url.pathname.endsWith(".ts")) return new Worker(url, { workerData });
  const tsx = JSON.stringify(import.meta.resolve("tsx/esm/api"));
  const code = `import(${tsx}).then(({ register }) => { register(); return import(${JSON.stringify(url.href)}); })`;
  return new Worker(code, { eval: true, workerData });
}

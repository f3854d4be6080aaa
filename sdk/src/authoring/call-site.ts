/** A place in a TypeScript source. Lines and columns count from 1. */
export interface CallSite {
  readonly file: string;
  readonly line: number;
  readonly column: number;
}

const own = import.meta.url.replace(/call-site\.[^/]*$/, "");

/**
 * Where the function that called into this SDK was called. Exact only with source maps switched on, as the compiler does;
 * elsewhere it is worth nothing but costs little.
 */
export function callSite(): CallSite | undefined {
  const holder: { stack?: string } = {};
  Error.captureStackTrace(holder, callSite);
  for (const line of holder.stack?.split("\n").slice(1) ?? []) {
    const match = /(?:\()?((?:file:\/\/)?\/[^():]+):(\d+):(\d+)\)?$/.exec(line.trim());
    if (!match) continue;
    const [, path = "", row, column] = match;
    if (path.startsWith(own) || path.includes("/sdk/src/authoring/")) continue;
    return { file: path.startsWith("file://") ? decodeURIComponent(new URL(path).pathname) : path, line: Number(row), column: Number(column) };
  }
  return undefined;
}

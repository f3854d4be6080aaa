/** A place in a source. Lines and columns count from 1. */
export interface CallSite {
  readonly file: string;
  readonly line: number;
  readonly column: number;
}

/**
 * Where `callee` was called: a place in the code that runs, which the compiler maps back to the TypeScript source.
 * Undefined where the engine does not say.
 */
export function callSite(callee: (...args: never[]) => unknown): CallSite | undefined {
  const holder: { stack?: string } = {};
  Error.captureStackTrace(holder, callee);
  return sitesIn(holder.stack ?? "")[0];
}

/** All places that a stack names, innermost first. */
export function sitesIn(stack: string): CallSite[] {
  return [...stack.matchAll(/\(?((?:file:\/\/)?\/[^():\n]+):(\d+):(\d+)\)?$/gm)].map(([, file = "", line, column]) => ({
    file,
    line: Number(line),
    column: Number(column),
  }));
}

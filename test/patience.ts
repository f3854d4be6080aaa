/**
 * How much longer than on a quiet machine anything may take in a test: limits in tests are written for a quiet machine and
 * multiplied by this. AIRLOOM_TEST_PATIENCE sets another; a limit ends only what hangs, so a high one costs nothing else.
 */
export const patience = readPatience(process.env["AIRLOOM_TEST_PATIENCE"]);

function readPatience(text: string | undefined): number {
  if (!text) return 10;
  const factor = Number(text);
  if (!(factor >= 1 && factor <= 1000)) throw new Error(`AIRLOOM_TEST_PATIENCE is "${text}": it is a number from 1 to 1000, and 10 where it is not set`);
  return factor;
}

/** A time limit for what takes up to `quietMs` on a quiet machine. */
export const patientMs = (quietMs: number) => Math.round(quietMs * patience);

interface Wait {
  /** What is waited for, as the error names it: "the model to be ready". */
  readonly what: string | (() => string);
  /** How long it may take on a quiet machine. @default 10_000 */
  readonly quietMs?: number;
  /** Between two looks. @default 50 */
  readonly everyMs?: number;
}

/**
 * Waits until `look` gives something other than undefined, null and false, and gives that. What `look` throws ends the wait.
 * @throws {Error} naming what was waited for, when it did not come
 */
export async function waitFor<T>(look: () => T | Promise<T>, { what, quietMs = 10_000, everyMs = 50 }: Wait): Promise<NonNullable<Exclude<T, false>>> {
  const limitMs = patientMs(quietMs);
  for (const started = performance.now(); ;) {
    const found = await look();
    if (found !== undefined && found !== null && found !== false) return found as NonNullable<Exclude<T, false>>;
    if (performance.now() - started > limitMs) throw new Error(`waited ${limitMs / 1000} s in vain for ${typeof what === "string" ? what : what()}`);
    await new Promise((resolve) => setTimeout(resolve, everyMs));
  }
}

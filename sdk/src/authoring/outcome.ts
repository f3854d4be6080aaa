/** Thrown by a handler: the task fails at once, whatever its retries. */
export class TerminalError extends Error {
  override readonly name = "TerminalError";
}

/** Thrown by a handler: the task is skipped, and what depends on it with it. */
export class Skip extends Error {
  override readonly name = "Skip";
}

const pending = Symbol.for("airloom.notYet");

/** What a sensor's handler returns while it has nothing yet. */
export interface NotYet {
  readonly [pending]: true;
  readonly why: string;
}

/** "Ask again after the poke interval." `why` goes into the task's log. */
export const notYet = (why: string): NotYet => ({ [pending]: true, why });

/** Tells a sensor's `notYet` from its result, also across two copies of this module. */
export const isNotYet = (value: unknown): value is NotYet => typeof value === "object" && value !== null && pending in value;

const colours: Readonly<Record<string, number>> = {
  success: 32,
  failed: 31,
  upstream_failed: 31,
  running: 36,
  skipped: 35,
  up_for_retry: 33,
  up_for_reschedule: 36,
  deferred: 36,
};

/** A state in its colour, on a terminal. */
export const paint = (state: string): string => (process.stdout.isTTY && colours[state] ? `\u001b[${colours[state]}m${state}\u001b[0m` : state);

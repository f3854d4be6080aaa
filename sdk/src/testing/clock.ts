/** What tells a run the time and waits for it. */
export interface Clock {
  /** Milliseconds since 1970. */
  now(): number;
  /** Whether waiting takes no time: such a clock must not be waited for while tasks run. */
  readonly jumps: boolean;
  waitUntil(time: number): Promise<void>;
}

/** A clock that jumps: waiting takes no time. */
export function fakeClock(start: Date): Clock {
  let now = start.getTime();
  return {
    now: () => now,
    jumps: true,
    waitUntil: async (time) => {
      now = Math.max(now, time);
    },
  };
}

export const realClock: Clock = {
  now: () => Date.now(),
  jumps: false,
  waitUntil: (time) => new Promise((done) => setTimeout(done, Math.max(0, time - Date.now()))),
};

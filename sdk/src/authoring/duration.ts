/** A length of time: a whole number and its unit, such as "90s", "5m", "1h" or "7d". */
export type Duration = `${number}${"s" | "m" | "h" | "d"}`;

const secondsPer = { s: 1, m: 60, h: 3600, d: 86_400 } as const;

/** The seconds of a duration; throws a RangeError for one that is not a positive number with a unit. */
export function secondsOf(duration: Duration): number {
  const [, amount, unit] = /^(\d+(?:\.\d+)?)([smhd])$/.exec(duration) ?? [];
  const seconds = Number(amount) * secondsPer[unit as keyof typeof secondsPer];
  if (!(seconds > 0)) throw new RangeError(`"${duration}" is not a duration: write a positive number and s, m, h or d, such as "5m"`);
  return seconds;
}

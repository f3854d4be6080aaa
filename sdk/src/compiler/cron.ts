const presets = ["@once", "@continuous", "@hourly", "@daily", "@weekly", "@monthly", "@quarterly", "@yearly"];
const fields = [
  ["minute", 0, 59],
  ["hour", 0, 23],
  ["day of month", 1, 31],
  ["month", 1, 12],
  ["day of week", 0, 7],
] as const;
const names = /\b(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec|sun|mon|tue|wed|thu|fri|sat)\b/gi;

/** What is wrong with a cron expression of five fields, or a preset; undefined for a good one. */
export function cronProblem(cron: string): string | undefined {
  if (presets.includes(cron)) return undefined;
  if (cron.startsWith("@")) return `is none of ${presets.join(", ")}`;
  const parts = cron.trim().split(/\s+/);
  if (parts.length !== 5) return `has ${parts.length} fields; a cron expression has five: minute hour day month weekday`;
  for (const [i, [name, low, high]] of fields.entries()) {
    const part = i >= 3 ? parts[i]!.replace(names, String(low)) : parts[i]!;
    for (const item of part.split(",")) {
      const match = /^(\*|(\d+)(?:-(\d+))?)(?:\/(\d+))?$/.exec(item) ?? (i === 2 && /^[lL]$/.test(item) ? ([item] as unknown as RegExpExecArray) : null);
      const nth = i === 4 ? /^[0-7]#[1-5]$/.test(item) : false;
      if (!match && !nth) return `"${parts[i]}" is not a ${name}`;
      const [, , from, to, step] = match ?? [];
      for (const value of [from, to])
        if (value !== undefined && (Number(value) < low || Number(value) > high)) return `${name} ${value} is not within ${low}–${high}`;
      if (from !== undefined && to !== undefined && Number(from) > Number(to)) return `${name} ${from}-${to} runs backwards`;
      if (step !== undefined && Number(step) === 0) return `${name} has a step of 0`;
    }
  }
  return undefined;
}

import type { Command } from "commander";

/** Prints what was found or done: lines for people, one JSON document with --json. */
export function print(program: Command, json: unknown, lines: readonly string[]): void {
  console.log(program.opts<{ json?: true }>().json ? JSON.stringify(json, null, 2) : lines.join("\n"));
}

/** Rows in columns as wide as their widest cell. */
export function table(rows: readonly (readonly (string | number)[])[]): string[] {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => String(row[column]).length)));
  return rows.map((row) =>
    row
      .map((cell, column) => (typeof cell === "number" ? String(cell).padStart(widths[column]!) : cell.padEnd(widths[column]!)))
      .join("  ")
      .trimEnd(),
  );
}

/** How long ago, in the largest unit that says something. */
export function age(since: Date, now = new Date()): string {
  const minutes = Math.max(0, Math.round((now.getTime() - since.getTime()) / 60_000));
  if (minutes < 60) return `${minutes} min`;
  return minutes < 48 * 60 ? `${Math.round(minutes / 60)} h` : `${Math.round(minutes / 1440)} days`;
}

export const count = (n: number, thing: string): string => `${n} ${thing}${n === 1 ? "" : /(?:s|ch|x)$/.test(thing) ? "es" : "s"}`;

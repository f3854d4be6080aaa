import type { Command } from "commander";
import { problemsOfFiles } from "@airloom/dataset-platform/verify/files.ts";
import { type Problem, rules } from "@airloom/dataset-platform/verify/problem.ts";
import { problemsOfRows } from "@airloom/dataset-platform/verify/rows.ts";
import { count, print } from "./data-print.ts";
import type { DataPlace, UseRegistry } from "./data-registry.ts";

/** Problems that are told one by one; of more, their number is. */
const shownOfARule = 10;

async function* problemsOf({ registry, storage }: DataPlace, deep: boolean): AsyncGenerator<Problem> {
  yield* problemsOfRows(registry.db);
  yield* problemsOfFiles(registry.db, storage, { deep });
}

async function verify(program: Command, place: DataPlace, deep: boolean): Promise<void> {
  const byRule = new Map<Problem["rule"], Problem[]>();
  for await (const problem of problemsOf(place, deep)) byRule.set(problem.rule, [...(byRule.get(problem.rule) ?? []), problem]);
  const lines = [...byRule].flatMap(([rule, problems]) => [
    `${rule}: ${count(problems.length, "problem")}. To mend: ${rules[rule]}`,
    ...problems.slice(0, shownOfARule).map(({ subject, what }) => `  ${subject} ${what}`),
    ...(problems.length > shownOfARule ? [`  … and ${problems.length - shownOfARule} more`] : []),
  ]);
  const all = [...byRule.values()].flat();
  print(program, all, all.length === 0 ? [`every rule holds${deep ? ", and every byte is what it should be" : "; --deep reads every byte as well"}`] : lines);
  if (all.length > 0) process.exitCode = 1;
}

/** `verify`: holds rows, files and versions against each other. */
export function addVerify(program: Command, use: UseRegistry): void {
  program
    .command("verify")
    .description("checks that nothing is lost, doubled or damaged; exits with 1 where something is")
    .option("--deep", "reads and hashes every byte, where otherwise sizes are compared", false)
    .action(({ deep }: { deep: boolean }) => use((place) => verify(program, place, deep)));
}

import type { Command } from "commander";
import { problemsOfDataset } from "@airloom/dataset-platform/verify/dataset.ts";
import { type Problem, rules } from "@airloom/dataset-platform/verify/problem.ts";
import { count, print } from "./data-print.ts";
import type { DataPlace, UseRegistry } from "./data-registry.ts";

/** Problems that are told one by one; of more, their number is. */
const shownOfARule = 10;

async function verify(program: Command, { registry: { db }, storage, incoming, repository }: DataPlace, deep: boolean): Promise<void> {
  const byRule = new Map<Problem["rule"], Problem[]>();
  for await (const problem of problemsOfDataset({ db, storage, incoming, repository: repository() }, { deep }))
    byRule.set(problem.rule, [...(byRule.get(problem.rule) ?? []), problem]);
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
    .option("--deep", "reads and hashes every byte, of all versions, where otherwise sizes are compared, and the newest version is looked at", false)
    .action(({ deep }: { deep: boolean }) => use((place) => verify(program, place, deep)));
}

import { writeFile } from "node:fs/promises";
import path from "node:path";
import type { Command } from "commander";
import { describeProvider, findPython } from "../operators/describe.ts";
import { emitOperators } from "../operators/emit-operators.ts";

interface Options {
  readonly out?: string;
  readonly python?: string;
  readonly only?: string[];
  readonly from: string;
}

async function operators(provider: string, options: Options): Promise<void> {
  const described = await describeProvider(findPython(process.cwd(), options.python), provider, options.only ?? []);
  const out = options.out ?? `${provider.replace("apache-airflow-providers-", "")}.ts`;
  await writeFile(path.resolve(out), emitOperators(described, options.from));
  console.log(`${out}: ${described.classes.length} operators, sensors and notifiers of ${provider} ${described.version}`);
  for (const skipped of described.skipped) console.log(`  left out ${skipped}`);
}

/** `airloom operators apache-airflow-providers-…`: writes the typed operators of a provider. */
export function addOperators(program: Command): void {
  program
    .command("operators")
    .argument("<provider>", "an installed package, such as apache-airflow-providers-http")
    .option("--out <file>", "where the TypeScript goes")
    .option("--only <modules...>", "only modules that begin so, such as operators.s3")
    .option("--python <path>", "the Python that has Airflow and the provider")
    .option("--from <specifier>", "where the TypeScript imports the authoring API from", "airloom")
    .description("writes typed TypeScript for a provider's operators, sensors and notifiers")
    .action(operators);
}

import { existsSync } from "node:fs";
import { mkdir, readdir, writeFile } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";
import type { Command } from "commander";
import { newProject } from "../new/template.ts";

async function create(folder: string, options: { readonly airloom?: string }): Promise<void> {
  const root = path.resolve(folder);
  if (existsSync(root) && (await readdir(root)).length > 0) throw new Error(`${folder} is not empty: name a folder that does not exist yet`);
  const own = fileURLToPath(new URL("../../", import.meta.url));
  for (const [name, text] of Object.entries(newProject(path.basename(root), options.airloom ?? `file:${own}`))) {
    const file = path.join(root, name);
    await mkdir(path.dirname(file), { recursive: true });
    await writeFile(file, text);
    console.log(`  ${path.join(folder, name)}`);
  }
  console.log(`\ncd ${folder} && npm install && npm test && npm run compile`);
}

/** `airloom new my-pipelines`: a project that works. */
export function addNew(program: Command): void {
  program
    .command("new")
    .argument("<folder>", "where it goes; must not exist, or be empty")
    .option("--airloom <spec>", "where npm gets airloom from (default: this installation)")
    .description("makes a project with a DAG, its test and the scripts to compile it")
    .action(create);
}

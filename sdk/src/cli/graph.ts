import { writeFile } from "node:fs/promises";
import path from "node:path";
import type { Command } from "commander";
import { drawSvg } from "../graph/draw-svg.ts";
import { drawText } from "../graph/draw-text.ts";
import { importDag } from "./run.ts";

async function graph(file: string, options: { readonly svg?: string }): Promise<void> {
  const { graph: made, problems } = (await importDag(file)).build();
  for (const { code, message } of problems) console.error(`${code}  ${message}`);
  if (problems.length > 0) process.exitCode = 1;
  if (options.svg === undefined) return void process.stdout.write(drawText(made));
  await writeFile(path.resolve(options.svg), drawSvg(made));
  console.log(options.svg);
}

/** `airloom graph x.dag.ts`: the DAG as text, or as an SVG file. */
export function addGraph(program: Command): void {
  program.command("graph").argument("<file>", "a DAG file").option("--svg <file>", "write a picture instead").description("draws a DAG").action(graph);
}

// The table of training: the drawn sets, from scratch and fine-tuned, several seeds; mAP by epoch, and what 8 bits cost.
//
//   node --import tsx bench/train-table.ts [RESULTS.csv]
//
// Each finished run adds its rows to the file (bench/results/training.csv), and what stands there already is not run again:
// it can be stopped at any time. At the end the table of docs/training.md is printed. `shapes` is run as the mark was
// (320 px, 60 epochs, batch 8); the others at 256 px for 30.
// Fine-tuning starts from weights that were trained on another of the sets.
import { appendFile, copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { measureOnnx } from "../runners/evaluate/measure.ts";
import { runTrainingChild } from "../runners/train/run-child.ts";
import { defaultOptions } from "../yolo/src/train/options.ts";
import { type DrawingName, drawSet } from "./drawn-sets.ts";

const file = path.resolve(process.argv[2] ?? fileURLToPath(new URL("results/training.csv", import.meta.url)));
const header = "set,start,seed,side,epoch,map50,map,fp32_map,int8_map";
const seeds = [0, 1, 2];
const batch = 8;

interface Run {
  readonly set: DrawingName;
  readonly seed: number;
  readonly side: number;
  readonly epochs: number;
  /** The set whose weights it starts from; none for a start from scratch. */
  readonly from?: DrawingName;
  readonly precision?: "bf16";
}

/** By seed first: a stopped table has whole columns. */
const runs: Run[] = seeds.flatMap((seed): Run[] => [
  { set: "shapes", seed, side: 320, epochs: 60 },
  { set: "shapes", seed, side: 320, epochs: 60, precision: "bf16" },
  ...(["small", "crowded", "twenty"] as const).map((set) => ({ set, seed, side: 256, epochs: 30 })),
  { set: "shapes", seed, side: 256, epochs: 12, from: "twenty" },
  ...(["small", "crowded", "twenty"] as const).map((set) => ({ set, seed, side: 256, epochs: 12, from: "shapes" as const })),
]);

const startOf = ({ from, precision }: Run) => `${from ? `from ${from}` : "scratch"}${precision ? ` in ${precision}` : ""}`;
const keyOf = (run: Run) => [run.set, startOf(run), run.seed, run.side].join(",");
/** Weights of the first seed's runs from scratch, which fine-tuning starts from. */
const weightsOf = (set: DrawingName) => path.join(path.dirname(file), `.weights-${set}.safetensors`);

async function execute(run: Run): Promise<string[]> {
  const folder = await mkdtemp(path.join(tmpdir(), "bench-table-"));
  try {
    const data = await drawSet(run.set, path.join(folder, "data"), run.side);
    const chosen = { ...(run.from && { weights: weightsOf(run.from) }), ...(run.precision && { precision: run.precision }) };
    const job = { ...data, options: { ...defaultOptions, epochs: run.epochs, side: run.side, batch, seed: run.seed, ...chosen } };
    const epochs: string[][] = [];
    await runTrainingChild({ job, folder, origin: { dataset: `drawn set ${run.set}` } }, new AbortController().signal, (message) => {
      if (message.kind !== "epoch") return;
      const { epoch, metrics } = message.report;
      epochs.push([String(epoch), metrics.map50.toFixed(4), metrics.map.toFixed(4)]);
    });
    if (!run.from && !run.precision && run.seed === seeds[0]) await copyFile(path.join(folder, "best.safetensors"), weightsOf(run.set));
    const measured = await Promise.all(
      ["best.onnx", "best.int8.onnx"].map(async (name) => {
        const onnx = await readFile(path.join(folder, name));
        return (await measureOnnx({ onnx, labels: data.labels, side: run.side }, data.validation, data.labels)).map.toFixed(4);
      }),
    );
    return epochs.map((row) => [keyOf(run), ...row, ...measured].join(","));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

interface Row {
  readonly map50: number;
  readonly map: number;
  /** Points that 8 bits cost; undefined where that has not been measured. */
  readonly lost: number | undefined;
}

/** Rows of a Markdown table, one for each set and start; the figures of a run are those of its last epoch. */
function markdown(csv: string): string[] {
  const bySet = new Map<string, Row[][]>();
  for (const line of csv.trim().split("\n").slice(1)) {
    const [set, start, seed, side, , ...numbers] = line.split(",");
    const [map50, map, full, small] = numbers.map((text) => (text ? Number(text) : undefined)) as [number, number, number, number | undefined];
    const seedRows = bySet.get([set, start, side].join(" | ")) ?? [];
    bySet.set([set, start, side].join(" | "), seedRows);
    (seedRows[Number(seed)] ??= []).push({ map50, map, lost: small === undefined ? undefined : (small - full) * 100 });
  }
  return [...bySet].map(([name, found]) => {
    const seedRows = found.filter((rows) => rows.length > 0);
    const range = (value: (rows: readonly Row[]) => number) => {
      const texts = seedRows.map((rows) => value(rows).toFixed(3)).toSorted();
      return [...new Set([texts[0], texts.at(-1)])].join("–");
    };
    const epochs = seedRows[0]!.length;
    const lost = seedRows
      .map((rows) => rows.at(-1)!.lost)
      .map((points) => (points === undefined ? "–" : `${points < 0 ? "−" : "+"}${Math.abs(points).toFixed(1)}`));
    return `| ${[name, epochs, seedRows.length, range((rows) => rows.at(-1)!.map50), range((rows) => rows.at(-1)!.map), range((rows) => rows[Math.floor(rows.length / 3) - 1]!.map), lost.join(", ")].join(" | ")} |`;
  });
}

await mkdir(path.dirname(file), { recursive: true });
const before = await readFile(file, "utf8").catch(() => "");
if (!before) await writeFile(file, `${header}\n`);
for (const run of runs) {
  if (before.includes(`\n${keyOf(run)},`)) continue;
  console.log(`${new Date().toISOString()} ${keyOf(run)}`);
  await appendFile(file, `${(await execute(run)).join("\n")}\n`);
}
console.log(markdown(await readFile(file, "utf8")).join("\n"));

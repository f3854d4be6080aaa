// A training step of Airloom and of torch, the same network, one after the other in rounds: medians and ratios.
//
//   TORCH_PYTHON=python-with-torch node --import tsx bench/train-compare.ts [sides] [rounds]
//
// Sides are joined by commas. torch is not installed by the set-up: any Python that has it will do.
import path from "node:path";
import { fileURLToPath } from "node:url";
import { execa } from "execa";

const bench = path.dirname(fileURLToPath(import.meta.url));
const python = process.env["TORCH_PYTHON"] ?? "python3";
const [sides = "320,640", rounds = "3"] = process.argv.slice(2);
const batch = 8;

interface Measured {
  readonly imagesPerSecond: number;
  readonly megabytes: number;
}

interface Variant {
  readonly name: string;
  run(side: number, steps: number): Promise<{ stdout: string }>;
}

const step = (precision: string, side: number, steps: number) =>
  execa(process.execPath, ["--import", "tsx", path.join(bench, "train-step.ts"), "traced", String(side), String(batch), String(steps)], {
    env: { PRECISION: precision, TF_CPP_MIN_LOG_LEVEL: "3" },
  });
const torchStep = (more: readonly string[], side: number, steps: number) =>
  execa(python, [path.join(bench, "torch_step.py"), String(side), String(batch), String(steps), "n", ...more]);

const variants: readonly Variant[] = [
  { name: "Airloom, fp32", run: (side, steps) => step("fp32", side, steps) },
  { name: "Airloom, bf16", run: (side, steps) => step("bf16", side, steps) },
  { name: "torch, fp32", run: (side, steps) => torchStep([], side, steps) },
  { name: "torch, bf16 autocast, channels last", run: (side, steps) => torchStep(["bf16"], side, steps) },
];
const measure = "torch, fp32";

function read(output: string): Measured {
  const [, speed, memory] = /([\d.]+) images\/s, peak memory (\d+) MB/.exec(output)!;
  return { imagesPerSecond: Number(speed), megabytes: Number(memory) };
}

const median = (values: readonly number[]) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!;

for (const side of sides.split(",").map(Number)) {
  const found = new Map<string, Measured[]>();
  for (let round = 0; round < Number(rounds); round++)
    for (const { name, run } of variants) {
      const measured = read((await run(side, side > 400 ? 6 : 15)).stdout);
      console.error(`${side} px, round ${round + 1}: ${name}: ${measured.imagesPerSecond} images/s, ${measured.megabytes} MB`);
      found.set(name, [...(found.get(name) ?? []), measured]);
    }
  const speedOf = (name: string) => median(found.get(name)!.map(({ imagesPerSecond }) => imagesPerSecond));
  for (const [name, all] of found) {
    const memory = (median(all.map(({ megabytes }) => megabytes)) / 1000).toFixed(2);
    console.log(`| ${side} px | ${name} | ${speedOf(name).toFixed(1)} images/s | ${(speedOf(name) / speedOf(measure)).toFixed(2)} × | ${memory} GB |`);
  }
}

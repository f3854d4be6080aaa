// `npm run gpu:check`: does training work on this machine's NVIDIA GPU, is it right, and how fast is it? Ends with a verdict.
import path from "node:path";
import { fileURLToPath } from "node:url";
import { execa, ExecaError } from "execa";
import { judge, type Probe } from "./gpu/verdict.ts";

const probeFile = path.join(path.dirname(fileURLToPath(import.meta.url)), "gpu/probe.ts");
const side = 320;
const batch = 16;
const probeMinutes = 15;

const say = (good: boolean, text: string) => console.log(`  ${good ? "✓" : "✗"} ${text}`);

function end(good: boolean, text: string): never {
  console.log(`\n${good ? "PASS" : "FAIL"}: ${text}`);
  process.exit(good ? 0 : 1);
}

async function probe(name: string, engine: "eager" | "traced", env: Record<string, string>, precision: "fp32" | "bf16" = "fp32"): Promise<Probe> {
  console.log(`  … ${name}`);
  const { stdout } = await execa(process.execPath, ["--import", "tsx", probeFile, engine, precision, String(side), String(batch), "5"], {
    // Memory is taken as it is needed: others may use the GPU too.
    env: { TF_CPP_MIN_LOG_LEVEL: "1", TF_FORCE_GPU_ALLOW_GROWTH: "true", ...env },
    stderr: "inherit",
    timeout: probeMinutes * 60_000,
  });
  return JSON.parse(stdout.split("\n").at(-1)!) as Probe;
}

async function cards(): Promise<string[]> {
  try {
    const { stdout } = await execa("nvidia-smi", ["--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]);
    return stdout.split("\n").filter(Boolean);
  } catch (error) {
    if (error instanceof ExecaError) return [];
    throw error;
  }
}

const found = await cards();
if (found.length === 0)
  end(false, "no NVIDIA GPU was found (`nvidia-smi` is missing or lists none). Training works on the CPU; install NVIDIA's driver for a GPU.");
for (const card of found) say(true, card);
const exact = { NVIDIA_TF32_OVERRIDE: "0" };
try {
  const points = judge({
    gpuEager: await probe("eager steps on the GPU", "eager", exact),
    gpuTraced: await probe("traced steps on the GPU", "traced", exact),
    gpuFast: await probe("traced steps on the GPU, with its fast maths", "traced", {}),
    // Cards before Ampere do not have it.
    gpuHalf: await probe("traced steps on the GPU in bf16", "traced", {}, "bf16").catch((error: unknown) => {
      if (error instanceof ExecaError) return undefined;
      throw error;
    }),
    cpu: await probe("traced steps on the CPU", "traced", { CUDA_VISIBLE_DEVICES: "-1" }),
  });
  for (const { good, text } of points) say(good, text);
  const bad = points.filter(({ good }) => !good).length;
  end(bad === 0, bad === 0 ? `training runs on ${found[0]!}` : `${bad} of ${points.length} points: see above`);
} catch (error) {
  if (!(error instanceof ExecaError)) throw error;
  end(false, `a measurement ended early: ${error.shortMessage}`);
}

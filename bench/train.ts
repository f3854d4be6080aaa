// Trains on a drawn set and prints mAP by epoch, speed and memory:
//
//   node --import tsx bench/train.ts shapes [epochs] [side] [batch] [seed]
//
// The mark: on `shapes`, 320 px, 60 epochs, batch 8, from scratch, the usual Python trainer reached mAP50 0.962 and
// mAP50-95 0.833 in 9 minutes on 2 cores.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { runTrainingChild } from "../runners/train/run-child.ts";
import { defaultOptions } from "../yolo/src/train/options.ts";
import { type DrawingName, drawSet } from "./drawn-sets.ts";

const [name = "shapes", ...numbers] = process.argv.slice(2);
const [epochs = 60, side = 320, batch = 8, seed = 0] = numbers.map(Number);
const folder = await mkdtemp(path.join(tmpdir(), "bench-train-"));
const given = JSON.parse(process.env["OPTIONS"] ?? "{}") as object;
try {
  const data = await drawSet(name as DrawingName, path.join(folder, "data"), side);
  const job = { ...data, options: { ...defaultOptions, epochs, side, batch, seed, ...given } };
  const started = performance.now();
  await runTrainingChild({ job, folder, origin: { dataset: `drawn set ${name}` } }, new AbortController().signal, (message) => {
    if (message.kind === "note") console.log(message.text);
    if (message.kind !== "epoch") return;
    const { epoch, metrics, imagesPerSecond, stepShare, seconds, memoryMiB } = message.report;
    console.log(
      `epoch ${String(epoch).padStart(3)}: mAP50 ${metrics.map50.toFixed(3)}, mAP50-95 ${metrics.map.toFixed(3)}, ${imagesPerSecond.toFixed(1)} images/s, ${(stepShare * 100).toFixed(1)} % in steps, ${seconds.toFixed(1)} s, ${memoryMiB} MiB`,
    );
  });
  console.log(`${name}, ${epochs} epochs at ${side} px: ${((performance.now() - started) / 60_000).toFixed(1)} minutes`);
} finally {
  if (process.env["KEEP"]) console.log(folder);
  else await rm(folder, { recursive: true, force: true });
}

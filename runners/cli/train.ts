import { mkdir, readFile } from "node:fs/promises";
import path from "node:path";
import { pathToFileURL } from "node:url";
import { Command, Option } from "commander";
import { tsImport } from "tsx/esm/api";
import type { Analysis } from "@airloom/yolo/metrics/analysis.ts";
import { defaultOptions, type TrainOptions } from "@airloom/yolo/train/options.ts";
import type { EpochReport } from "@airloom/yolo/train/train.ts";
import type { ChildMessage } from "../train/child.ts";
import { configFrom, optionsFrom } from "../train/options.ts";
import { changedSince, readTrainingData } from "../train/read-data.ts";
import { runTrainingChild } from "../train/run-child.ts";

const number = (text: string) => Number(text);
const { augment } = defaultOptions;

const program = new Command("airloom train")
  .description("Trains YOLOv8 on a data set, without Airflow. Ctrl-C saves the run; the same command goes on with it.")
  .requiredOption("--data <place>", "a folder with data.yaml or data.json, or one of those files")
  .option("--model <name>", "yolov8n, yolov8s, yolov8m, yolov8l or yolov8x", "yolov8n")
  .option("--weights <file>", "weights to begin with: safetensors, ONNX or .pt")
  .option("--epochs <n>", "epochs", number, defaultOptions.epochs)
  .option("--imgsz <pixels>", "side of the training pictures, a multiple of 32", number, defaultOptions.side)
  .option("--batch <n>", "pictures a step; 0 chooses by the memory that is free", number, defaultOptions.batch)
  .option("--accumulate <n>", "batches whose gradients make one update", number, defaultOptions.accumulate)
  .option("--patience <n>", "epochs without improvement after which training ends", number, defaultOptions.patience)
  .addOption(new Option("--optimizer <name>").choices(["auto", "SGD", "AdamW"]).default("auto"))
  .option("--lr0 <rate>", "first learning rate; 0 for the optimiser's own", number, 0)
  .option("--close-mosaic <n>", "epochs at the end without mosaic, at most a fifth of all", number, defaultOptions.closeMosaic)
  .option("--freeze <n>", "modules of the backbone that stay as they are; 10 are all", number, defaultOptions.freeze)
  .option("--mixup <share>", "share of the mosaics that are blended with another", number, augment.mixup)
  .option("--degrees <n>", "largest rotation of a training picture", number, augment.degrees)
  .option("--time <hours>", "ends the run by then; 0 for no limit", number, 0)
  .option("--seed <n>", "seed of everything random", number, defaultOptions.seed)
  .addOption(new Option("--engine <name>").choices(["traced", "eager"]).default("traced"))
  .addOption(new Option("--precision <name>", "bf16: about one and a half times as fast on CPUs with AMX").choices(["fp32", "bf16"]).default("fp32"))
  .option("--config <file>", "a TypeScript module that exports options by default; what stands here goes before them")
  .option("--out <folder>", "where everything goes", "runs/train")
  .action(run);

async function run(given: Record<string, string | number>): Promise<void> {
  const data = await readTrainingData(String(given["data"]));
  const options = await optionsOf(given);
  const folder = path.resolve(String(given["out"]));
  await mkdir(folder, { recursive: true });
  const stop = new AbortController();
  for (const name of ["SIGINT", "SIGTERM"] as const) process.on(name, () => stop.abort());
  console.log(
    `${given["model"]}, ${data.train.length} training and ${data.validation.length} validation pictures, ${data.labels.length} labels; everything goes to ${folder}`,
  );
  const { name, ...pictures } = data;
  const why = await runTrainingChild({ job: { ...pictures, options }, folder, origin: { dataset: name } }, stop.signal, progress());
  if (why === "stopped") {
    console.log(`\nstopped; the run is saved in ${folder}: the same command goes on with it`);
    process.exitCode = 130;
    return;
  }
  const { metrics } = JSON.parse(await readFile(path.join(folder, "analysis.json"), "utf8")) as Analysis;
  const changed = changedSince(data, await readTrainingData(String(given["data"])).catch(() => data));
  if (changed.length > 0)
    console.log(
      `the labels of ${changed.length} pictures changed while training ran (${changed.slice(0, 3).join(", ")}${changed.length > 3 ? " …" : ""}): this model has learned them as they were at its start`,
    );
  if (why !== "epochs") console.log(why === "patience" ? `no better for ${options.patience} epochs` : "the time is over");
  const row = (label: string, cells: readonly (string | number)[]) =>
    console.log(`${label.padEnd(20)}${cells.map((cell) => String(cell).padStart(10)).join("")}`);
  row("class", ["objects", "P", "R", "mAP50", "mAP50-95"]);
  const figures = [metrics.precision, metrics.recall, metrics.map50, metrics.map].map((value) => value.toFixed(3));
  row("all", [metrics.classes.reduce((sum, { objects }) => sum + objects, 0), ...figures]);
  for (const { cls, objects, precision, recall, ap50, ap } of metrics.classes)
    row(data.labels[cls]!.slice(0, 19), [objects, ...[precision, recall, ap50, ap].map((value) => value.toFixed(3))]);
  console.log(`${path.join(folder, "best.onnx")}, best.pt, best.safetensors, report.html`);
}

/** Defaults, then the config's options, then what was written on the command line. */
async function optionsOf(given: Readonly<Record<string, string | number>>): Promise<TrainOptions> {
  const file = given["config"];
  const config = file === undefined ? {} : configFrom(await exportedBy(path.resolve(String(file))), String(file));
  const written = Object.fromEntries(Object.entries(given).filter(([name]) => program.getOptionValueSource(name) === "cli"));
  const fromLine = optionsFrom(written);
  const names = Object.keys(written).map((name) => optionNames[name] ?? (name as keyof TrainOptions));
  const changed = Object.fromEntries(names.filter((name) => name in fromLine).map((name) => [name, fromLine[name]]));
  const moved = Object.fromEntries(["mixup", "degrees"].filter((name) => name in written).map((name) => [name, Number(written[name])]));
  const { augment: onLine } = configFrom({ augment: moved }, "command line");
  return { ...defaultOptions, ...config, ...changed, augment: { ...augment, ...config.augment, ...onLine } };
}

/** What a config module exports by default; one that is loaded as CommonJS has its exports one level deeper. */
async function exportedBy(file: string): Promise<unknown> {
  const { default: exported } = (await tsImport(pathToFileURL(file).href, import.meta.url)) as { default?: unknown };
  return typeof exported === "object" && exported !== null && "default" in exported ? exported.default : exported;
}

/** Options whose name on the command line is another. */
const optionNames: Readonly<Record<string, keyof TrainOptions>> = { model: "size", imgsz: "side" };

/** On a terminal a bar that moves; elsewhere a line an epoch. */
function progress(): (message: ChildMessage) => void {
  const bar = process.stdout.isTTY;
  const clear = bar ? "\r\u001b[K" : "";
  return (message) => {
    if (message.kind === "note") console.log(`${clear}${message.text}`);
    if (message.kind === "epoch") console.log(`${clear}${epochLine(message.report)}`);
    if (message.kind !== "step" || !bar) return;
    const { step, steps, epoch, epochs, losses, imagesPerSecond } = message.progress;
    const perEpoch = steps / epochs;
    const inEpoch = ((step - 1) % perEpoch) + 1;
    const filled = Math.round((inEpoch / perEpoch) * 20);
    const left = ((steps - step) * (message.progress.batch / imagesPerSecond)) / 60;
    const [box, cls, dfl] = losses.map((loss) => loss.toFixed(3));
    process.stdout.write(
      `${clear}${epoch}/${epochs} ${"█".repeat(filled)}${"░".repeat(20 - filled)} ${inEpoch}/${perEpoch}  box ${box} cls ${cls} dfl ${dfl}  ${imagesPerSecond.toFixed(1)} images/s  ${message.memoryMiB} MiB  ${left.toFixed(1)} min left`,
    );
  };
}

function epochLine({ epoch, boxLoss, clsLoss, dflLoss, metrics, imagesPerSecond, seconds, best }: EpochReport): string {
  const losses = `box ${boxLoss.toFixed(3)} cls ${clsLoss.toFixed(3)} dfl ${dflLoss.toFixed(3)}`;
  return `epoch ${String(epoch).padStart(4)}  ${losses}  mAP50 ${metrics.map50.toFixed(3)} mAP50-95 ${metrics.map.toFixed(3)}${best ? " *" : "  "}  ${imagesPerSecond.toFixed(1)} images/s  ${seconds.toFixed(1)} s`;
}

await program.parseAsync().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
});

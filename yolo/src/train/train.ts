import { createHash } from "node:crypto";
import path from "node:path";
import type { Metrics } from "../metrics/average-precision.ts";
import { initialWeights, layoutOf, type Weights } from "../nn/parameters.ts";
import { EagerTrainer } from "./eager.ts";
import { type BatchRequest, loadBatches } from "./loader.ts";
import { frozenPrefixes, type TrainOptions } from "./options.ts";
import type { PictureFile } from "./pictures.ts";
import type { RunState } from "./run-state.ts";
import { type Plan, planFor, ratesAt } from "./schedule.ts";
import { stepSetting } from "./step.ts";
import { TracedTrainer } from "./traced.ts";
import { freshState, type Trainer } from "./trainer.ts";
import { type Validation, Validator } from "./validate.ts";

/** A training run: its data, and what was chosen. */
export interface TrainJob {
  readonly train: readonly PictureFile[];
  readonly validation: readonly PictureFile[];
  readonly labels: readonly string[];
  readonly options: TrainOptions;
}

/** One epoch's figures. Losses are means over its steps. */
export interface EpochReport {
  /** From 1. */
  readonly epoch: number;
  readonly boxLoss: number;
  readonly clsLoss: number;
  readonly dflLoss: number;
  readonly valBoxLoss: number;
  readonly valClsLoss: number;
  readonly valDflLoss: number;
  readonly metrics: Metrics;
  /** Learning rates of the epoch's last step: weights, scales, biases. */
  readonly learningRates: readonly [number, number, number];
  /** Training alone, without validation. */
  readonly imagesPerSecond: number;
  /** The share of the training time that was spent in steps, not waiting for pictures. */
  readonly stepShare: number;
  readonly seconds: number;
  /** The process's memory at the end of the epoch, MiB. */
  readonly memoryMiB: number;
  /** Share of one core's time that the process used in the epoch, percent. */
  readonly cpuPercent: number;
  /** Whether these are the best weights so far. */
  readonly best: boolean;
}

/** What a run tells its caller while it goes on. */
export interface TrainEvents {
  /** After each step; `steps` is the number of all steps as planned now. */
  onStep?(progress: StepProgress): void;
  /** After each epoch, with the averaged weights and, from them, what a run must remember to go on. */
  onEpoch(report: EpochReport, weights: Weights, validation: Validation, state: () => RunState): Promise<void>;
}

export interface StepProgress {
  readonly step: number;
  readonly steps: number;
  readonly epoch: number;
  readonly epochs: number;
  readonly losses: readonly number[];
  readonly batch: number;
  readonly imagesPerSecond: number;
}

/** How a run ended. */
export type TrainEnd =
  | { readonly kind: "done"; readonly why: "epochs" | "patience" | "time"; readonly weights: Weights }
  /** It was asked to stop: the state goes on where it stopped. */
  | { readonly kind: "stopped"; readonly state: RunState };

/** The loss became infinite or not a number. */
export class DivergedError extends Error {}

/** One number to choose the best weights by: mostly mAP50-95, a little mAP50. */
export const fitness = ({ map50, map }: Metrics): number => 0.1 * map50 + 0.9 * map;

/** A digest of all that decides a run's result, by which a saved state is known to belong to it. */
export function fingerprintOf({ train, validation, labels, options }: TrainJob): string {
  const { engine: _engine, cacheMiB: _cache, ...deciding } = options;
  const files = (pictures: readonly PictureFile[]) => pictures.map(({ file, objects }) => [path.basename(file), objects]);
  return createHash("sha256")
    .update(JSON.stringify([files(train), files(validation), labels, deciding]))
    .digest("hex");
}

const bytesOfMiB = 1024 * 1024;

/**
 * Trains a model; the same job gives the same result on the same machine.
 *
 * @param start fresh weights, or a run's state to go on from
 * @param signal asks the run to stop after the present step
 */
export async function train(job: TrainJob, events: TrainEvents, start: { weights?: Weights; state?: RunState } = {}, signal?: AbortSignal): Promise<TrainEnd> {
  const { options, labels } = job;
  const config = { size: options.size, classes: labels.length };
  const layout = layoutOf(config);
  const stepsPerEpoch = Math.ceil(job.train.length / options.batch);
  const fingerprint = fingerprintOf(job);
  if (start.state && start.state.fingerprint !== fingerprint) throw new Error("the saved state is of another run: its data or its options differ");
  const gathers = options.accumulate > 1;
  const planWith = (epochs: number): Plan => planFor({ ...options, finalFraction: options.lrf, classes: labels.length, stepsPerEpoch, epochs });
  // Which optimiser it is must not change on the way.
  const { optimizer } = planWith(options.epochs);
  const setting = stepSetting({ config, side: options.side, optimizer, weightDecay: options.weightDecay, gathers, frozen: frozenPrefixes(options.freeze) });
  const half = (options.cacheMiB * bytesOfMiB) / 2;
  const validator = new Validator(job.validation, { config, layout, side: options.side, batch: options.batch, cacheBytes: half });
  const fresh = () => freshState(start.weights ?? initialWeights(layout, options.seed), gathers);
  const trainer: Trainer = new (options.engine === "eager" ? EagerTrainer : TracedTrainer)(setting, start.state?.state ?? fresh());

  let { step, updates, seconds, epochs } = start.state ?? { step: 0, updates: 0, seconds: 0, epochs: options.epochs };
  let lossSums: readonly number[] = start.state?.lossSums ?? [0, 0, 0];
  let best = start.state?.best;
  const reports: EpochReport[] = [...(start.state?.reports ?? [])];
  let plan = { ...planWith(epochs), optimizer };
  const closing = () => epochs - Math.min(options.closeMosaic, Math.floor(epochs / 5));
  function* requests(): Generator<BatchRequest> {
    for (let at = step; at < epochs * stepsPerEpoch; at++) {
      const epoch = Math.floor(at / stepsPerEpoch);
      yield { epoch, step: at % stepsPerEpoch, mosaic: epoch < closing() };
    }
  }
  const { side, batch, seed, augment } = options;
  const batches = loadBatches({ pictures: job.train, side, batch, seed, augment, cacheBytes: half }, requests());

  // Of an epoch that an earlier process began.
  let earlierSeconds = start.state?.epochSeconds ?? 0;
  let epochStarted = performance.now() - earlierSeconds * 1000;
  let cpuBefore = process.cpuUsage();
  let inSteps = 0;
  let waitedFrom = performance.now();
  let waited = 0;
  const stateNow = (epochSeconds: number): RunState => ({
    fingerprint,
    step,
    updates,
    lossSums,
    seconds,
    epochSeconds,
    epochs,
    reports,
    state: trainer.read(),
    ...(best && { best }),
  });
  let why: "epochs" | "patience" | "time" = options.time > 0 ? "time" : "epochs";
  try {
    for await (const host of batches) {
      const begun = performance.now();
      waited += begun - waitedFrom;
      const updating = (step + 1) % options.accumulate === 0 || (step + 1) % stepsPerEpoch === 0;
      const rates = ratesAt(plan, step, updates + 1);
      const parts = trainer.step(host, updating ? rates : undefined);
      inSteps += performance.now() - begun;
      const loss = parts.reduce((sum, part) => sum + part, 0);
      if (!Number.isFinite(loss)) {
        const where = `epoch ${Math.floor(step / stepsPerEpoch) + 1}, step ${(step % stepsPerEpoch) + 1} of ${stepsPerEpoch}`;
        const [box, cls, dfl] = parts;
        throw new DivergedError(
          `the loss is no longer a number in ${where} (box ${box}, cls ${cls}, dfl ${dfl}; learning rate ${rates.learningRate}). Lower lr0, or look at the labels of these pictures. The weights of the epochs before are kept.`,
        );
      }
      step++;
      if (updating) updates++;
      lossSums = lossSums.map((sum, i) => sum + parts[i]!);
      const inEpoch = ((step - 1) % stepsPerEpoch) + 1;
      events.onStep?.({
        step,
        steps: epochs * stepsPerEpoch,
        epoch: Math.ceil(step / stepsPerEpoch),
        epochs,
        losses: lossSums.map((sum) => sum / inEpoch),
        batch,
        imagesPerSecond: (batch * 1000) / ((inSteps + waited) / countSteps(inEpoch, start.state?.step ?? 0, step)),
      });
      if (inEpoch === stepsPerEpoch) {
        const weights = trainer.averaged();
        const trained = (inSteps + waited) / 1000;
        const validation = await validator.run(weights);
        const [boxLoss, clsLoss, dflLoss] = lossSums.map((sum) => sum / stepsPerEpoch) as [number, number, number];
        const [valBoxLoss, valClsLoss, valDflLoss] = validation.losses;
        const bestBefore = Math.max(-1, ...reports.map(({ metrics }) => fitness(metrics)));
        const report: EpochReport = {
          epoch: step / stepsPerEpoch,
          boxLoss,
          clsLoss,
          dflLoss,
          valBoxLoss,
          valClsLoss,
          valDflLoss,
          metrics: validation.metrics,
          learningRates: [rates.learningRate, rates.learningRate, rates.biasRate],
          imagesPerSecond: (countSteps(stepsPerEpoch, start.state?.step ?? 0, step) * batch) / trained,
          stepShare: inSteps / (inSteps + waited),
          seconds: (performance.now() - epochStarted) / 1000,
          memoryMiB: Math.round(process.memoryUsage.rss() / bytesOfMiB),
          cpuPercent: Math.round((cpuSeconds(cpuBefore) / ((performance.now() - epochStarted) / 1000 - earlierSeconds)) * 100),
          best: fitness(validation.metrics) > bestBefore,
        };
        reports.push(report);
        if (report.best) best = weights;
        seconds += report.seconds;
        lossSums = [0, 0, 0];
        if (options.time > 0) {
          const left = options.time * 3600 - seconds;
          epochs = Math.min(options.epochs, report.epoch + Math.max(0, Math.floor(left / (seconds / report.epoch))));
          plan = { ...planWith(epochs), optimizer };
        }
        await events.onEpoch(report, weights, validation, () => stateNow(0));
        const sinceBest = report.epoch - reports.findLast((each) => each.best)!.epoch;
        if (sinceBest >= options.patience) {
          why = "patience";
          break;
        }
        if (report.epoch >= epochs) break;
        [inSteps, waited, earlierSeconds, cpuBefore] = [0, 0, 0, process.cpuUsage()];
        epochStarted = performance.now();
      }
      // Messages and signals get their turn: a batch that is ready would keep them waiting.
      await new Promise((resolve) => setImmediate(resolve));
      if (signal?.aborted) return { kind: "stopped", state: stateNow((performance.now() - epochStarted) / 1000) };
      waitedFrom = performance.now();
    }
    if (epochs >= options.epochs && why === "time") why = "epochs";
    return { kind: "done", why, weights: trainer.averaged() };
  } finally {
    await batches.return(undefined);
    trainer.dispose();
  }
}

/** Steps of the present epoch that this process has done itself. */
function countSteps(inEpoch: number, startedAt: number, step: number): number {
  return Math.max(1, Math.min(inEpoch, step - startedAt));
}

function cpuSeconds(since: NodeJS.CpuUsage): number {
  const { user, system } = process.cpuUsage(since);
  return (user + system) / 1e6;
}

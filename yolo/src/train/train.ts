import { createHash } from "node:crypto";
import path from "node:path";
import { limitedTo } from "../boxes/asked.ts";
import type { Metrics } from "../metrics/average-precision.ts";
import { initialWeights, layoutOf, type Weights } from "../nn/parameters.ts";
import { EagerTrainer } from "./eager.ts";
import { type BatchRequest, loadBatches } from "./loader.ts";
import { frozenPrefixes, type TrainOptions } from "./options.ts";
import type { PictureFile } from "./pictures.ts";
import type { RunState } from "./run-state.ts";
import { EpochMeter } from "./meter.ts";
import type { StepRates } from "./optimizer.ts";
import { type Plan, planFor, ratesAt } from "./schedule.ts";
import { stepSetting } from "./step.ts";
import { TracedTrainer } from "./traced.ts";
import { freshState, type HostBatch, type Trainer } from "./trainer.ts";
import { Validator } from "./validate.ts";

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
  onEpoch(report: EpochReport, weights: Weights, state: () => RunState): Promise<void>;
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

/** Digests of what decides a run's result, part by part: a saved state is of a run where all of them are the same. */
export type Fingerprint = Readonly<Record<"options" | "labels" | "training pictures or their labels" | "validation pictures or their labels", string>>;

export function fingerprintOf({ train, validation, labels, options }: TrainJob): Fingerprint {
  const { engine: _engine, cacheMiB: _cache, ...deciding } = options;
  const files = (pictures: readonly PictureFile[]) =>
    pictures.map(({ file, objects, asked }) => {
      const limited = limitedTo(asked, labels.length);
      return [path.basename(file), objects, ...(limited ? [limited] : [])];
    });
  const digest = (what: unknown) => createHash("sha256").update(JSON.stringify(what)).digest("hex");
  return {
    options: digest(deciding),
    labels: digest(labels),
    "training pictures or their labels": digest(files(train)),
    "validation pictures or their labels": digest(files(validation)),
  };
}

/** The parts in which two runs differ; none for the same run. */
export function differences(a: Fingerprint, b: Fingerprint): string[] {
  return Object.entries(a).flatMap(([part, digest]) => (b[part as keyof Fingerprint] === digest ? [] : [part]));
}

const bytesOfMiB = 1024 * 1024;

/** What a run begins from: fresh weights, given ones, or the state of a run that was stopped. */
export interface TrainStart {
  readonly weights?: Weights;
  readonly state?: RunState;
}

/**
 * Trains a model; the same job gives the same result on the same machine.
 *
 * @param signal asks the run to stop after the present step
 */
export async function train(job: TrainJob, events: TrainEvents, start: TrainStart = {}, signal?: AbortSignal): Promise<TrainEnd> {
  const run = new TrainingRun(job, events, start);
  try {
    return await run.run(signal);
  } finally {
    await run.dispose();
  }
}

class TrainingRun {
  readonly #job: TrainJob;
  readonly #events: TrainEvents;
  readonly #fingerprint: Fingerprint;
  readonly #stepsPerEpoch: number;
  readonly #validator: Validator;
  readonly #trainer: Trainer;
  readonly #batches: ReturnType<typeof loadBatches>;
  readonly #reports: EpochReport[];
  #plan: Plan;
  #meter: EpochMeter;
  #step: number;
  #updates: number;
  #seconds: number;
  #lossSums: readonly number[];
  #best: Weights | undefined;

  constructor(job: TrainJob, events: TrainEvents, { weights, state }: TrainStart) {
    const { options, labels } = job;
    this.#job = job;
    this.#events = events;
    this.#fingerprint = fingerprintOf(job);
    if (state && differences(state.fingerprint, this.#fingerprint).length > 0)
      throw new Error("the saved state is of another run: its data or its options differ");
    this.#stepsPerEpoch = Math.ceil(job.train.length / options.batch);
    this.#plan = this.#planFor(options.epochs);
    this.#plan = this.#planFor(state?.epochs ?? options.epochs);
    this.#meter = new EpochMeter(state?.epochSeconds);
    this.#step = state?.step ?? 0;
    this.#updates = state?.updates ?? 0;
    this.#seconds = state?.seconds ?? 0;
    this.#lossSums = state?.lossSums ?? noLosses;
    this.#best = state?.best;
    this.#reports = [...(state?.reports ?? [])];

    const config = { size: options.size, classes: labels.length };
    const layout = layoutOf(config);
    const { side, batch, seed, augment, weightDecay, freeze, engine, precision } = options;
    const cacheBytes = (options.cacheMiB * bytesOfMiB) / 2;
    const gathers = options.accumulate > 1;
    const setting = stepSetting({ config, side, optimizer: this.#plan.optimizer, weightDecay, gathers, frozen: frozenPrefixes(freeze), precision });
    const Engine = engine === "eager" ? EagerTrainer : TracedTrainer;
    this.#trainer = new Engine(setting, state?.state ?? freshState(weights ?? initialWeights(layout, seed), gathers));
    this.#validator = new Validator(job.validation, { config, layout, side, batch, cacheBytes });
    this.#batches = loadBatches({ pictures: job.train, side, batch, classes: labels.length, seed, augment, cacheBytes }, this.#requests(this.#step));
  }

  async run(signal?: AbortSignal): Promise<TrainEnd> {
    const { options } = this.#job;
    let why: "patience" | undefined;
    for await (const batch of this.#batches) {
      const rates = this.#learn(batch);
      if (this.#step % this.#stepsPerEpoch === 0) {
        const report = await this.#endEpoch(rates);
        const sinceBest = report.epoch - this.#reports.findLast(({ best }) => best)!.epoch;
        if (sinceBest >= options.patience) why = "patience";
        if (why || report.epoch >= this.#plan.epochs) break;
        this.#meter = new EpochMeter();
      }
      // Messages and signals get their turn: a batch that is ready would keep them waiting.
      await new Promise((resolve) => setImmediate(resolve));
      if (signal?.aborted) return { kind: "stopped", state: this.#state(this.#meter.seconds) };
      this.#meter.waitBegins();
    }
    return { kind: "done", why: why ?? (this.#plan.epochs < options.epochs ? "time" : "epochs"), weights: this.#trainer.averaged() };
  }

  async dispose(): Promise<void> {
    await this.#batches.return(undefined);
    this.#trainer.dispose();
    await this.#validator.dispose();
  }

  /** A plan for so many epochs. Which optimiser it is was decided by the first one. */
  #planFor(epochs: number): Plan {
    const { options, labels } = this.#job;
    const optimizer = (this.#plan as Plan | undefined)?.optimizer ?? options.optimizer;
    return planFor({ ...options, optimizer, finalFraction: options.lrf, classes: labels.length, stepsPerEpoch: this.#stepsPerEpoch, epochs });
  }

  /** All batches from `first` on. How many epochs there are, and so where mosaics end, may change on the way. */
  *#requests(first: number): Generator<BatchRequest> {
    for (let at = first; at < this.#plan.epochs * this.#stepsPerEpoch; at++) {
      const epoch = Math.floor(at / this.#stepsPerEpoch);
      const { epochs } = this.#plan;
      yield { epoch, step: at % this.#stepsPerEpoch, mosaic: epoch < epochs - Math.min(this.#job.options.closeMosaic, Math.floor(epochs / 5)) };
    }
  }

  /** One step, and an update where enough gradients are gathered; an epoch's last step always makes one. */
  #learn(batch: HostBatch): StepRates {
    this.#meter.stepBegins();
    const { options } = this.#job;
    const { epochs } = this.#plan;
    const next = this.#step + 1;
    const isUpdate = next % options.accumulate === 0 || next % this.#stepsPerEpoch === 0;
    const rates = ratesAt(this.#plan, this.#step, this.#updates + 1);
    const parts = this.#trainer.step(batch, isUpdate ? rates : undefined);
    this.#meter.stepEnds();
    if (!parts.every(Number.isFinite)) throw this.#diverged(parts, rates);
    this.#step = next;
    if (isUpdate) this.#updates++;
    this.#lossSums = this.#lossSums.map((sum, i) => sum + parts[i]!);
    const inEpoch = ((next - 1) % this.#stepsPerEpoch) + 1;
    this.#events.onStep?.({
      step: next,
      steps: epochs * this.#stepsPerEpoch,
      epoch: Math.ceil(next / this.#stepsPerEpoch),
      epochs,
      losses: this.#lossSums.map((sum) => sum / inEpoch),
      batch: options.batch,
      imagesPerSecond: this.#meter.imagesPerSecond(options.batch),
    });
    return rates;
  }

  #diverged([box, cls, dfl]: Float32Array, { learningRate }: StepRates): DivergedError {
    const where = `epoch ${Math.floor(this.#step / this.#stepsPerEpoch) + 1}, step ${(this.#step % this.#stepsPerEpoch) + 1} of ${this.#stepsPerEpoch}`;
    const loss = `box ${box}, cls ${cls}, dfl ${dfl}; learning rate ${learningRate}`;
    return new DivergedError(
      `the loss is no longer a number in ${where} (${loss}). Lower lr0, or look at the labels of these pictures. The weights of the epochs before are kept.`,
    );
  }

  async #endEpoch(rates: StepRates): Promise<EpochReport> {
    const { options } = this.#job;
    const weights = this.#trainer.averaged();
    const { imagesPerSecond, stepShare } = { imagesPerSecond: this.#meter.imagesPerSecond(options.batch), stepShare: this.#meter.stepShare };
    const validation = await this.#validator.run(weights);
    const [boxLoss, clsLoss, dflLoss] = this.#lossSums.map((sum) => sum / this.#stepsPerEpoch) as [number, number, number];
    const [valBoxLoss, valClsLoss, valDflLoss] = validation.losses;
    const report: EpochReport = {
      epoch: this.#step / this.#stepsPerEpoch,
      boxLoss,
      clsLoss,
      dflLoss,
      valBoxLoss,
      valClsLoss,
      valDflLoss,
      metrics: validation.metrics,
      learningRates: [rates.learningRate, rates.learningRate, rates.biasRate],
      imagesPerSecond,
      stepShare,
      seconds: this.#meter.seconds,
      memoryMiB: Math.round(process.memoryUsage.rss() / bytesOfMiB),
      cpuPercent: this.#meter.cpuPercent,
      best: this.#reports.every((before) => fitness(validation.metrics) > fitness(before.metrics)),
    };
    this.#reports.push(report);
    if (report.best) this.#best = weights;
    this.#seconds += report.seconds;
    this.#lossSums = noLosses;
    if (options.time > 0) this.#plan = this.#planFor(Math.min(options.epochs, report.epoch + this.#epochsLeft(report.epoch)));
    await this.#events.onEpoch(report, weights, () => this.#state(0));
    return report;
  }

  /** Epochs that fit into what is left of the time. */
  #epochsLeft(done: number): number {
    const left = this.#job.options.time * 3600 - this.#seconds;
    return Math.max(0, Math.floor(left / (this.#seconds / done)));
  }

  #state(epochSeconds: number): RunState {
    return {
      fingerprint: this.#fingerprint,
      batch: this.#job.options.batch,
      step: this.#step,
      updates: this.#updates,
      lossSums: this.#lossSums,
      seconds: this.#seconds,
      epochSeconds,
      epochs: this.#plan.epochs,
      reports: this.#reports,
      state: this.#trainer.read(),
      ...(this.#best && { best: this.#best }),
    };
  }
}

const noLosses = [0, 0, 0] as const;

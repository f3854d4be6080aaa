import type { OptimizerKind, StepRates } from "./optimizer.ts";

/** How the learning rate goes, and who uses it. */
export interface Plan {
  readonly optimizer: OptimizerKind;
  readonly lr0: number;
  /** The last epoch's rate as a share of `lr0`. */
  readonly finalFraction: number;
  readonly momentum: number;
  readonly weightDecay: number;
  readonly warmupSteps: number;
  readonly warmupMomentum: number;
  readonly warmupBiasRate: number;
  readonly stepsPerEpoch: number;
  readonly epochs: number;
}

/** A run of fewer updates than this is too short for SGD. */
const shortRun = 10_000;

export interface PlanOptions {
  readonly classes: number;
  readonly stepsPerEpoch: number;
  readonly epochs: number;
  /** "auto" takes SGD for long runs and AdamW for short ones. */
  readonly optimizer: OptimizerKind | "auto";
  /** The optimiser's own where it is undefined: 0.01 for SGD; for AdamW less, the more classes there are. */
  readonly lr0?: number | undefined;
  readonly finalFraction: number;
  readonly momentum?: number | undefined;
  readonly weightDecay: number;
  readonly warmupEpochs: number;
}

export function planFor(options: PlanOptions): Plan {
  const { classes, stepsPerEpoch, epochs, finalFraction, weightDecay, warmupEpochs } = options;
  const optimizer = options.optimizer === "auto" ? (stepsPerEpoch * epochs > shortRun ? "SGD" : "AdamW") : options.optimizer;
  const sgd = optimizer === "SGD";
  return {
    optimizer,
    lr0: options.lr0 ?? (sgd ? 0.01 : Number(((0.002 * 5) / (4 + classes)).toFixed(6))),
    finalFraction,
    momentum: options.momentum ?? (sgd ? 0.937 : 0.9),
    weightDecay,
    // At least 100 steps, but never more than a fifth of the run.
    warmupSteps: warmupEpochs === 0 ? 0 : Math.min(Math.max(Math.round(warmupEpochs * stepsPerEpoch), 100), Math.round((stepsPerEpoch * epochs) / 5)),
    warmupMomentum: 0.8,
    warmupBiasRate: sgd ? 0.1 : 0,
    stepsPerEpoch,
    epochs,
  };
}

/** The rates of step `step` (from 0) and update `update` (from 1): linear over the epochs, after the warm-up. */
export function ratesAt(plan: Plan, step: number, update: number): StepRates {
  const epoch = Math.floor(step / plan.stepsPerEpoch);
  const progress = plan.epochs <= 1 ? 0 : epoch / plan.epochs;
  const rate = plan.lr0 * ((1 - progress) * (1 - plan.finalFraction) + plan.finalFraction);
  const warm = step < plan.warmupSteps ? step / plan.warmupSteps : 1;
  const mix = (from: number, to: number) => from + (to - from) * warm;
  return {
    learningRate: mix(0, rate),
    biasRate: mix(plan.warmupBiasRate, rate),
    momentum: mix(plan.warmupMomentum, plan.momentum),
    averageDecay: 0.9999 * (1 - Math.exp(-update / 2000)),
    update,
  };
}

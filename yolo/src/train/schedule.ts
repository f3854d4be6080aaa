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

/** SGD for long runs and AdamW, with a rate that falls with the number of classes, for short ones. */
export function planFor({ classes, stepsPerEpoch, epochs }: { classes: number; stepsPerEpoch: number; epochs: number }): Plan {
  const long = stepsPerEpoch * epochs > shortRun;
  return {
    optimizer: long ? "SGD" : "AdamW",
    lr0: long ? 0.01 : Number(((0.002 * 5) / (4 + classes)).toFixed(6)),
    finalFraction: 0.01,
    momentum: long ? 0.937 : 0.9,
    weightDecay: 5e-4,
    // Three epochs, at least 100 steps, but never more than a fifth of the run.
    warmupSteps: Math.min(Math.max(3 * stepsPerEpoch, 100), Math.round((stepsPerEpoch * epochs) / 5)),
    warmupMomentum: 0.8,
    warmupBiasRate: long ? 0.1 : 0,
    stepsPerEpoch,
    epochs,
  };
}

/** The rates of update `step` (from 0): linear from `lr0` to its final fraction over the epochs, after the warm-up. */
export function ratesAt(plan: Plan, step: number): StepRates {
  const epoch = Math.floor(step / plan.stepsPerEpoch);
  const progress = plan.epochs <= 1 ? 0 : epoch / plan.epochs;
  const rate = plan.lr0 * ((1 - progress) * (1 - plan.finalFraction) + plan.finalFraction);
  const warm = step < plan.warmupSteps ? step / plan.warmupSteps : 1;
  const mix = (from: number, to: number) => from + (to - from) * warm;
  return {
    learningRate: mix(0, rate),
    biasRate: mix(plan.warmupBiasRate, rate),
    momentum: mix(plan.warmupMomentum, plan.momentum),
    averageDecay: 0.9999 * (1 - Math.exp(-(step + 1) / 2000)),
    update: step + 1,
  };
}

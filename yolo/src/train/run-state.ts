import { type NamedTensor, readSafetensors, writeSafetensors } from "../weights/safetensors.ts";
import type { Weights } from "../nn/parameters.ts";
import type { EpochReport, Fingerprint } from "./train.ts";
import { type HostState, stateNames } from "./trainer.ts";

/** Everything that a run must remember to go on as if it had not stopped. */
export interface RunState {
  /** What decides the run (see `fingerprintOf`); a run goes on only from a state of the same. */
  readonly fingerprint: Fingerprint;
  /** Pictures a step, which the run may have chosen itself. */
  readonly batch: number;
  /** Steps done since the beginning. */
  readonly step: number;
  readonly updates: number;
  /** Sums of this epoch's losses: box, cls, dfl. */
  readonly lossSums: readonly number[];
  /** Seconds of training so far, validation included. */
  readonly seconds: number;
  /** Of this epoch. */
  readonly epochSeconds: number;
  /** Epochs that the run is planned to have; fewer than asked for where there is a time limit. */
  readonly epochs: number;
  readonly reports: readonly EpochReport[];
  readonly state: HostState;
  /** The best weights so far; none before the first epoch's end. */
  readonly best?: Weights;
}

/** A run's state as safetensors: its vectors, and the rest as JSON in the header. */
export function writeRunState({ state, best, ...rest }: RunState): Buffer {
  const tensors = new Map<string, NamedTensor>();
  const put = (name: string, values: Float32Array) => tensors.set(name, { shape: [values.length], values });
  for (const name of stateNames) put(name, state[name]);
  if (best) {
    put("best.parameters", best.parameters);
    put("best.stats", best.stats);
  }
  return writeSafetensors(tensors, { airloom: "run state 2", run: JSON.stringify(rest) });
}

export function readRunState(file: Buffer): RunState {
  const { tensors, metadata } = readSafetensors(file);
  if (metadata["airloom"] !== "run state 2") throw new Error("this is not the state of a training run");
  const vector = (name: string) => {
    const tensor = tensors.get(name);
    if (!tensor) throw new Error(`the run's state lacks ${name}`);
    return tensor.values;
  };
  const state = Object.fromEntries(stateNames.map((name) => [name, vector(name)])) as unknown as HostState;
  const rest = JSON.parse(metadata["run"]!) as Omit<RunState, "state" | "best">;
  if (!tensors.has("best.parameters")) return { ...rest, state };
  return { ...rest, state, best: { parameters: vector("best.parameters"), stats: vector("best.stats") } };
}

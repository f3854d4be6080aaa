import * as tf from "@tensorflow/tfjs-node";
import { rateVector, type StepRates, type TrainState } from "./optimizer.ts";
import { type Batch, gatherStep, type StepSetting, updateStep } from "./step.ts";
import { type HostBatch, type HostState, stateNames, type Trainer } from "./trainer.ts";

/** Pixel bytes as numbers in 0 … 1. */
export const pixelScale = 1 / 255;

/** A batch as tensors, which the caller disposes. */
export function toTensors({ images, boxes, classes, objects, asked }: HostBatch): Batch {
  const batch = classes.length / objects;
  const side = Math.sqrt(images.length / batch / 3);
  return {
    images: tf.tidy(() => tf.mul(tf.cast(tf.tensor4d(Int32Array.from(images), [batch, side, side, 3], "int32"), "float32"), pixelScale)),
    boxes: tf.tensor3d(boxes, [batch, objects, 4]),
    classes: tf.tensor2d(classes, [batch, objects], "int32"),
    ...(asked && { asked: tf.tensor2d(asked, [batch, asked.length / batch]) }),
  };
}

export function toStateTensors(state: HostState): TrainState {
  return Object.fromEntries(stateNames.map((name) => [name, tf.tensor1d(state[name])])) as unknown as TrainState;
}

/** Runs each step operation by operation: clear, any shape, and what the traced trainer is held to. */
export class EagerTrainer implements Trainer {
  readonly #setting: StepSetting;
  #state: TrainState;

  constructor(setting: StepSetting, state: HostState) {
    this.#setting = setting;
    this.#state = toStateTensors(state);
  }

  step(host: HostBatch, rates?: StepRates): Float32Array {
    const batch = toTensors(host);
    const old = this.#state;
    const { parts, ...next } = inTidy(() => {
      const gathered = gatherStep(this.#setting, old, batch);
      const state = rates
        ? updateStep(this.#setting, old, gathered, tf.tensor1d(rateVector(rates)))
        : { ...old, gathered: gathered.gradient, stats: gathered.stats };
      // What a step leaves as it was is a tensor of its own all the same, so that the old one can go.
      const own = Object.fromEntries(stateNames.map((name) => [name, state[name] === old[name] ? tf.clone(state[name]) : state[name]]));
      return { ...(own as unknown as TrainState), parts: gathered.parts };
    });
    const values = Float32Array.from(parts.dataSync());
    tf.dispose([parts, ...Object.values(old), ...Object.values(batch)] as tf.Tensor[]);
    this.#state = next;
    return values;
  }

  read(): HostState {
    return Object.fromEntries(stateNames.map((name) => [name, Float32Array.from(this.#state[name].dataSync())])) as unknown as HostState;
  }

  averaged() {
    return { parameters: Float32Array.from(this.#state.averaged.dataSync()), stats: Float32Array.from(this.#state.averagedStats.dataSync()) };
  }

  dispose(): void {
    tf.dispose(Object.values(this.#state) as tf.Tensor[]);
  }
}

/** `tf.tidy` for a result that is an object of tensors, which tfjs types only with an index signature. */
function inTidy<T extends object>(work: () => T): T {
  return tf.tidy(() => work() as unknown as tf.TensorContainerObject) as unknown as T;
}

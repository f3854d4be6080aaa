import * as tf from "@tensorflow/tfjs-node";

/**
 * Reverse-mode differentiation for the network alone. tfjs has one of its own, but it keeps every intermediate tensor to
 * the end of the step and has no gradient for the kernels we call; this one frees each tensor as soon as the backward pass
 * has gone over it, which halves the peak memory.
 */
export class Tape {
  readonly #steps: (() => void)[] = [];
  readonly #gradients = new Map<tf.Tensor, tf.Tensor>();

  /**
   * Remembers how to go back over an operation. `backward` gets the gradient of each output and hands gradients of the
   * inputs to `give`; afterwards the outputs, their gradients and `also` are disposed.
   */
  record(outputs: readonly tf.Tensor[], backward: (...dys: tf.Tensor[]) => void, also: readonly tf.Tensor[] = []): void {
    this.#steps.push(() => {
      const dys = outputs.map((output) => this.#gradients.get(output) ?? tf.zerosLike(output));
      backward(...dys);
      for (const output of outputs) this.#gradients.delete(output);
      tf.dispose([...dys, ...outputs, ...also]);
    });
  }

  /** Adds `gradient` to what `x` has; the tape owns it from here on. */
  give(x: tf.Tensor, gradient: tf.Tensor): void {
    const before = this.#gradients.get(x);
    if (!before) {
      this.#gradients.set(x, gradient);
      return;
    }
    this.#gradients.set(x, tf.add(before, gradient));
    tf.dispose([before, gradient]);
  }

  /** Runs backward from the gradients given so far. The tape is empty afterwards. */
  backward(): void {
    for (const step of this.#steps.reverse()) step();
    this.#steps.length = 0;
    tf.dispose([...this.#gradients.values()]);
    this.#gradients.clear();
  }
}

import * as tf from "@tensorflow/tfjs-node";
import { conv2d, maxPool5 } from "./kernels.ts";
import type { Layers } from "./model.ts";
import { foldNorm, type Layout, slice, type Weights } from "./parameters.ts";

/** Is shown values of the network by name: before (`pre:`) and after each activation, sums and concatenations. */
export type Observer = (name: string, value: tf.Tensor) => void;

/** The network in its prediction form, batch norm folded into the convolutions; `dispose` frees its weights. */
export function predictLayers(layout: Layout, weights: Weights, observe: Observer = () => undefined): { layers: Layers<tf.Tensor>; dispose: () => void } {
  const observed = (name: string, value: tf.Tensor) => {
    observe(name, value);
    return value;
  };
  const kept = new Map<string, readonly [tf.Tensor, tf.Tensor]>();
  const hold = (name: string, make: () => readonly [tf.Tensor, tf.Tensor]) => {
    let pair = kept.get(name);
    if (!pair) {
      pair = make();
      pair.forEach((tensor) => tf.keep(tensor));
      kept.set(name, pair);
    }
    return pair;
  };
  const layers: Layers<tf.Tensor> = {
    conv(name, x, { stride }) {
      const [w, b] = hold(name, () => {
        const { kernel, bias, shape } = foldNorm(layout, weights, name);
        return [tf.tensor(kernel, [...shape]), tf.tensor1d(bias)];
      });
      const y = observed(`pre:${name}`, tf.add(conv2d(x, w, stride), b));
      return observed(name, tf.mul(y, tf.sigmoid(y)));
    },
    project(name, x) {
      const [w, b] = hold(name, () => {
        const slot = layout.slots.get(`${name}.weight`)!;
        const bias = layout.slots.get(`${name}.bias`)!;
        return [tf.tensor(slice(weights.parameters, slot), [...slot.shape]), tf.tensor1d(slice(weights.parameters, bias))];
      });
      return tf.add(conv2d(x, w, 1), b);
    },
    halve: (x) => tf.split(x, 2, 3) as [tf.Tensor, tf.Tensor],
    concat: (name, xs) => observed(name, tf.concat([...xs], 3)),
    add: (name, a, b) => observed(name, tf.add(a, b)),
    upsample: (x) => tf.image.resizeNearestNeighbor(x as tf.Tensor4D, [x.shape[1]! * 2, x.shape[2]! * 2]),
    maxPool: maxPool5,
  };
  return { layers, dispose: () => tf.dispose([...kept.values()].flat()) };
}

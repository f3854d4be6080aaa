import type { Layers } from "../nn/model.ts";
import { foldNorm, type Layout, slice, type Weights } from "../nn/parameters.ts";
import type { OnnxGraph } from "./graph.ts";

/** A feature map in the graph. */
export interface Value {
  readonly name: string;
  readonly channels: number;
}

/** Weights [kh, kw, in, out] as [out, in, kh, kw]. */
export function toOutInHeightWidth(values: Float32Array, [kh, kw, channels, out]: readonly [number, number, number, number]): Float32Array {
  const result = new Float32Array(values.length);
  for (let y = 0; y < kh; y++)
    for (let x = 0; x < kw; x++)
      for (let i = 0; i < channels; i++)
        for (let o = 0; o < out; o++) result[((o * channels + i) * kh + y) * kw + x] = values[((y * kw + x) * channels + i) * out + o]!;
  return result;
}

/** The network as ONNX nodes, batch norm folded into the convolutions. */
export function onnxLayers(graph: OnnxGraph, layout: Layout, weights: Weights): Layers<Value> {
  const convolve = (name: string, x: Value, stride: number, kernel: Float32Array, bias: Float32Array, shape: readonly number[]): Value => {
    const [kh, kw, channels, out] = shape as [number, number, number, number];
    const p = (kh - 1) / 2;
    const w = graph.floats(`${name}.weight`, [out, channels, kh, kw], toOutInHeightWidth(kernel, [kh, kw, channels, out]));
    const b = graph.floats(`${name}.bias`, [out], bias);
    const y = graph.node("Conv", [x.name, w, b], { kernel_shape: [kh, kw], strides: [stride, stride], pads: [p, p, p, p] });
    return { name: y, channels: out };
  };
  return {
    conv(name, x, { stride }) {
      const { kernel, bias, shape } = foldNorm(layout, weights, name);
      const y = convolve(name, x, stride, kernel, bias, shape);
      return { ...y, name: graph.node("Mul", [y.name, graph.node("Sigmoid", [y.name])]) };
    },
    project(name, x) {
      const slot = layout.slots.get(`${name}.weight`)!;
      const bias = slice(weights.parameters, layout.slots.get(`${name}.bias`)!);
      return convolve(name, x, 1, slice(weights.parameters, slot), bias, slot.shape);
    },
    halve(x) {
      const [a, b] = graph.nodes("Split", [x.name], 2, { axis: 1 });
      return [
        { name: a!, channels: x.channels / 2 },
        { name: b!, channels: x.channels / 2 },
      ];
    },
    concat: (_, xs) => ({
      name: graph.node(
        "Concat",
        xs.map((x) => x.name),
        { axis: 1 },
      ),
      channels: xs.reduce((sum, x) => sum + x.channels, 0),
    }),
    add: (_, a, b) => ({ ...a, name: graph.node("Add", [a.name, b.name]) }),
    upsample(x) {
      const scales = graph.floats(`scales_of_${x.name}`, [4], Float32Array.of(1, 1, 2, 2));
      const how = { mode: "nearest", nearest_mode: "floor", coordinate_transformation_mode: "asymmetric" };
      return { ...x, name: graph.node("Resize", [x.name, "", scales], how) };
    },
    maxPool: (x) => ({ ...x, name: graph.node("MaxPool", [x.name], { kernel_shape: [5, 5], strides: [1, 1], pads: [2, 2, 2, 2] }) }),
  };
}

import { anchorPoints } from "../loss/anchors.ts";
import { bins, type Layers, type ModelConfig, strides, yolov8 } from "../nn/model.ts";
import { foldNorm, type Layout, slice, type Weights } from "../nn/parameters.ts";
import { OnnxGraph } from "./graph.ts";

/** A feature map in the graph. */
interface Value {
  readonly name: string;
  readonly channels: number;
}

/**
 * The model as ONNX: `images` [batch, 3, side, side] float32 RGB in 0 … 1 → `output0` [batch, 4 + classes, anchors]
 * float32: cx, cy, w, h in pixels and a probability for each class. Batch norm is folded, boxes are decoded.
 */
export function exportOnnx(config: ModelConfig, layout: Layout, weights: Weights, { side, labels }: { side: number; labels: readonly string[] }): Uint8Array {
  const graph = new OnnxGraph();
  const levels = yolov8(onnxLayers(graph, layout, weights), { name: "images", channels: 3 }, config);
  const output = decodeHead(graph, levels, config.classes, side);
  graph.rename(output, "output0");
  return graph.finish({
    input: { name: "images", shape: ["batch", 3, side, side] },
    outputs: [{ name: "output0", shape: ["batch", 4 + config.classes, anchorPoints(side, side).count] }],
    metadata: {
      task: "detect",
      stride: String(Math.max(...strides)),
      imgsz: `[${side}, ${side}]`,
      names: `{${labels.map((label, i) => `${i}: ${JSON.stringify(label)}`).join(", ")}}`,
      producer: "airloom",
      license: "Apache-2.0",
    },
  });
}

/**
 * The model without its decoding, for validation: `images` [batch, 3, height, width], any multiples of 32 → `box3`, `cls3`
 * … `cls5`: the levels' raw predictions [batch, 4 × bins or classes, height / stride, width / stride].
 */
export function exportRawOnnx(config: ModelConfig, layout: Layout, weights: Weights): Uint8Array {
  const graph = new OnnxGraph();
  const levels = yolov8(onnxLayers(graph, layout, weights), { name: "images", channels: 3 }, config);
  const outputs = levels.flatMap(({ box, cls }, i) => {
    graph.rename(box.name, `box${i + 3}`);
    graph.rename(cls.name, `cls${i + 3}`);
    return [
      { name: `box${i + 3}`, shape: ["batch", 4 * bins, `height${i + 3}`, `width${i + 3}`] },
      { name: `cls${i + 3}`, shape: ["batch", config.classes, `height${i + 3}`, `width${i + 3}`] },
    ];
  });
  return graph.finish({ input: { name: "images", shape: ["batch", 3, "height", "width"] }, outputs, metadata: { producer: "airloom" } });
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

function onnxLayers(graph: OnnxGraph, layout: Layout, weights: Weights): Layers<Value> {
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
    concat: (xs) => ({
      name: graph.node(
        "Concat",
        xs.map((x) => x.name),
        { axis: 1 },
      ),
      channels: xs.reduce((sum, x) => sum + x.channels, 0),
    }),
    add: (a, b) => ({ ...a, name: graph.node("Add", [a.name, b.name]) }),
    upsample(x) {
      const scales = graph.floats(`scales_of_${x.name}`, [4], Float32Array.of(1, 1, 2, 2));
      const how = { mode: "nearest", nearest_mode: "floor", coordinate_transformation_mode: "asymmetric" };
      return { ...x, name: graph.node("Resize", [x.name, "", scales], how) };
    },
    maxPool: (x) => ({ ...x, name: graph.node("MaxPool", [x.name], { kernel_shape: [5, 5], strides: [1, 1], pads: [2, 2, 2, 2] }) }),
  };
}

/** Boxes from distributions (arXiv 2006.04388, eq. 4) and probabilities from logits, all levels side by side. */
function decodeHead(graph: OnnxGraph, levels: readonly { box: Value; cls: Value }[], classes: number, side: number): string {
  const flat = (values: readonly Value[], channels: number, name: string) => {
    const shape = graph.ints(`${name}_shape`, [0, channels, -1]);
    return graph.node(
      "Concat",
      values.map((value) => graph.node("Reshape", [value.name, shape])),
      { axis: 2 },
    );
  };
  const box = flat(
    levels.map((level) => level.box),
    4 * bins,
    "box",
  );
  const cls = flat(
    levels.map((level) => level.cls),
    classes,
    "cls",
  );
  const { centres, stride, count } = anchorPoints(side, side);

  const perSide = graph.node("Reshape", [box, graph.ints("sides_shape", [0, 4, bins, -1])]);
  const distribution = graph.node("Softmax", [perSide], { axis: 2 });
  const steps = graph.floats(
    "bin_steps",
    [1, 1, bins, 1],
    Float32Array.from({ length: bins }, (_, i) => i),
  );
  const means = graph.node("ReduceSum", [graph.node("Mul", [distribution, steps]), graph.ints("bin_axis", [2])], { keepdims: 0 });
  const sides = graph.node("Mul", [means, graph.floats("strides", [1, 1, count], stride)]);
  const [leftTop, rightBottom] = graph.nodes("Split", [sides], 2, { axis: 1 });
  const points = new Float32Array(2 * count);
  for (let a = 0; a < count; a++) {
    points[a] = centres[2 * a]!;
    points[count + a] = centres[2 * a + 1]!;
  }
  const at = graph.floats("anchor_centres", [1, 2, count], points);
  const low = graph.node("Sub", [at, leftTop!]);
  const high = graph.node("Add", [at, rightBottom!]);
  const centre = graph.node("Mul", [graph.node("Add", [low, high]), graph.floats("half", [1], Float32Array.of(0.5))]);
  return graph.node("Concat", [centre, graph.node("Sub", [high, low]), graph.node("Sigmoid", [cls])], { axis: 1 });
}

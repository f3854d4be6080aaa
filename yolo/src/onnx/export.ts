import { anchorPoints } from "../loss/anchors.ts";
import { bins, type ModelConfig, strides, yolov8 } from "../nn/model.ts";
import type { Layout, Weights } from "../nn/parameters.ts";
import { OnnxGraph } from "./graph.ts";
import { onnxLayers, type Value } from "./layers.ts";
import { quantisedInput, quantisedLayers, type Ranges } from "./quantise.ts";

/**
 * The model as ONNX: `images` [batch, 3, side, side] float32 RGB in 0 … 1 → `output0` [batch, 4 + classes, anchors]
 * float32: cx, cy, w, h in pixels and a probability for each class. Batch norm is folded, boxes are decoded. With `ranges`
 * the network is quantised to 8 bits, all but the head's last convolutions and the decoding.
 */
export function exportOnnx(
  config: ModelConfig,
  layout: Layout,
  weights: Weights,
  { side, labels, ranges }: { side: number; labels: readonly string[]; ranges?: Ranges },
): Uint8Array {
  const graph = new OnnxGraph();
  const layers = ranges ? quantisedLayers(graph, layout, weights, ranges) : onnxLayers(graph, layout, weights);
  const images = ranges ? quantisedInput(graph, "images") : "images";
  const levels = yolov8(layers, { name: images, channels: 3 }, config);
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

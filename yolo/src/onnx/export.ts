import { bins, type ModelConfig, strides, yolov8 } from "../nn/model.ts";
import type { Layout, Weights } from "../nn/parameters.ts";
import { ownLicence } from "../weights/licence.ts";
import { OnnxGraph } from "./graph.ts";
import { onnxLayers, type Value } from "./layers.ts";
import { quantisedInput, quantisedLayers, type Ranges } from "./quantise.ts";

/**
 * The model as ONNX: `images` [batch, 3, height, width] float32 RGB in 0 … 1, any multiples of 32 → `output0`
 * [batch, 4 + classes, anchors] float32: cx, cy, w, h in pixels and a probability for each class. `side` is the one it was
 * trained at, for who reads the metadata; that height and width are free lets a service leave out the grey of a letterbox.
 * Batch norm is folded, boxes are decoded. With `ranges` the network is quantised to 8 bits, all but the head's last
 * convolutions and the decoding.
 */
export function exportOnnx(
  config: ModelConfig,
  layout: Layout,
  weights: Weights,
  { side, labels, licence = ownLicence, ranges }: { side: number; labels: readonly string[]; licence?: string; ranges?: Ranges },
): Uint8Array {
  const graph = new OnnxGraph();
  const layers = ranges ? quantisedLayers(graph, layout, weights, ranges) : onnxLayers(graph, layout, weights);
  const images = ranges ? quantisedInput(graph, "images") : "images";
  const levels = yolov8(layers, { name: images, channels: 3 }, config);
  const output = decodeHead(graph, levels, config.classes);
  graph.rename(output, "output0");
  return graph.finish({
    input: { name: "images", shape: ["batch", 3, "height", "width"] },
    outputs: [{ name: "output0", shape: ["batch", 4 + config.classes, "anchors"] }],
    metadata: {
      task: "detect",
      stride: String(Math.max(...strides)),
      imgsz: `[${side}, ${side}]`,
      names: `{${labels.map((label, i) => `${i}: ${JSON.stringify(label)}`).join(", ")}}`,
      producer: "airloom",
      license: licence,
    },
  });
}

/**
 * The model without its decoding, for validation: `pixels` [batch, height, width, 3] uint8 RGB, any multiples of 32 → `box3`, `cls3`
 * … `cls5`: the levels' raw predictions [batch, 4 × bins or classes, height / stride, width / stride].
 */
export function exportRawOnnx(config: ModelConfig, layout: Layout, weights: Weights): Uint8Array {
  const graph = new OnnxGraph();
  const planes = graph.node("Cast", [graph.node("Transpose", ["pixels"], { perm: [0, 3, 1, 2] })], { to: 1 });
  const images = graph.node("Mul", [planes, graph.floats("pixel_scale", [1], Float32Array.of(1 / 255))]);
  const levels = yolov8(onnxLayers(graph, layout, weights), { name: images, channels: 3 }, config);
  const outputs = levels.flatMap(({ box, cls }, i) => {
    graph.rename(box.name, `box${i + 3}`);
    graph.rename(cls.name, `cls${i + 3}`);
    return [
      { name: `box${i + 3}`, shape: ["batch", 4 * bins, `height${i + 3}`, `width${i + 3}`] },
      { name: `cls${i + 3}`, shape: ["batch", config.classes, `height${i + 3}`, `width${i + 3}`] },
    ];
  });
  return graph.finish({ input: { name: "pixels", bytes: true, shape: ["batch", "height", "width", 3] }, outputs, metadata: { producer: "airloom" } });
}

/** Boxes from distributions (arXiv 2006.04388, eq. 4) and probabilities from logits, all levels side by side. */
function decodeHead(graph: OnnxGraph, levels: readonly { box: Value; cls: Value }[], classes: number): string {
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
  const { centres, stride } = anchors(graph, levels);

  const perSide = graph.node("Reshape", [box, graph.ints("sides_shape", [0, 4, bins, -1])]);
  const distribution = graph.node("Softmax", [perSide], { axis: 2 });
  const steps = graph.floats(
    "bin_steps",
    [1, 1, bins, 1],
    Float32Array.from({ length: bins }, (_, i) => i),
  );
  const means = graph.node("ReduceSum", [graph.node("Mul", [distribution, steps]), graph.ints("bin_axis", [2])], { keepdims: 0 });
  const sides = graph.node("Mul", [means, stride]);
  const [leftTop, rightBottom] = graph.nodes("Split", [sides], 2, { axis: 1 });
  const low = graph.node("Sub", [centres, leftTop!]);
  const high = graph.node("Add", [centres, rightBottom!]);
  const centre = graph.node("Mul", [graph.node("Add", [low, high]), graph.floats("half", [1], Float32Array.of(0.5))]);
  return graph.node("Concat", [centre, graph.node("Sub", [high, low]), graph.node("Sigmoid", [cls])], { axis: 1 });
}

/** The cells' centres [1, 2, anchors] and strides [1, 1, anchors], both in pixels, from the levels' own sizes. */
function anchors(graph: OnnxGraph, levels: readonly { cls: Value }[]): { centres: string; stride: string } {
  const one = graph.floats("one_cell", [1], Float32Array.of(1));
  const half = graph.floats("half_cell", [1], Float32Array.of(0.5));
  const ahead = graph.ints("one_one", [1, 1]);
  const [from, to] = [graph.ints("shape_from", [2]), graph.ints("shape_to", [4])];
  const axis = (name: string, number: number) => graph.integers(name, [], Int32Array.of(number));
  const [rows, columns] = [axis("axis_of_rows", 2), axis("axis_of_columns", 3)];
  const perLevel = levels.map(({ cls }, i) => {
    const stride = graph.floats(`stride_${i}`, [1], Float32Array.of(strides[i]!));
    const size = graph.node("Concat", [ahead, graph.node("Slice", [graph.node("Shape", [cls.name]), from, to])], { axis: 0 });
    const ones = graph.node("Add", [graph.node("ConstantOfShape", [size]), one]); // [1, 1, height, width]
    // The running sum of ones counts cells: 1, 2, 3 …; a centre is half a cell before.
    const along = (way: string) => graph.node("Mul", [graph.node("Sub", [graph.node("CumSum", [ones, way]), half]), stride]);
    const flatten = (value: string, name: string, channels: number) => graph.node("Reshape", [value, graph.ints(`${name}_${i}_shape`, [1, channels, -1])]);
    return {
      centres: flatten(graph.node("Concat", [along(columns), along(rows)], { axis: 1 }), "centres", 2),
      stride: flatten(graph.node("Mul", [ones, stride]), "strides", 1),
    };
  });
  const joined = (part: "centres" | "stride") =>
    graph.node(
      "Concat",
      perLevel.map((level) => level[part]),
      { axis: 2 },
    );
  return { centres: joined("centres"), stride: joined("stride") };
}

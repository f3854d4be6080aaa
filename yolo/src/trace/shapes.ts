import { type Attribute, DataType } from "./graph.ts";

/** What is known of a tensor without computing it. */
export interface TensorSpec {
  readonly dtype: number;
  readonly shape: readonly number[];
  /** The numbers in it, where they are constants of the graph. */
  readonly values?: ArrayLike<number>;
}

type Attributes = Readonly<Record<string, Attribute>>;
type Rule = (inputs: readonly TensorSpec[], attributes: Attributes) => TensorSpec[];

/**
 * Shapes and types of an operation's outputs, from those of its inputs: as much of TensorFlow's shape functions as a
 * training step uses. A wrong one shows at once: TensorFlow checks the graph when it is loaded.
 */
export function inferOutputs(op: string, inputs: readonly TensorSpec[], attributes: Attributes): TensorSpec[] {
  const rule = rules[op];
  if (!rule) throw new Error(`recording: there is no shape rule for ${op}; add one to trace/shapes.ts`);
  return rule(inputs, attributes);
}

const sameAs =
  (index: number): Rule =>
  (inputs) => [{ dtype: inputs[index]!.dtype, shape: inputs[index]!.shape }];

/** NumPy's broadcasting. */
function broadcast(a: readonly number[], b: readonly number[]): number[] {
  const rank = Math.max(a.length, b.length);
  return Array.from({ length: rank }, (_, i) => {
    const [m, n] = [a[i - rank + a.length] ?? 1, b[i - rank + b.length] ?? 1];
    if (m !== n && m !== 1 && n !== 1) throw new Error(`recording: shapes [${a.join()}] and [${b.join()}] do not broadcast`);
    return m === 1 ? n : m;
  });
}

const binary: Rule = ([a, b]) => [{ dtype: a!.dtype, shape: broadcast(a!.shape, b!.shape) }];
const comparison: Rule = ([a, b]) => [{ dtype: DataType.bool, shape: broadcast(a!.shape, b!.shape) }];

const flag = (attributes: Attributes, name: string) => attributes[name]?.kind === "bool" && attributes[name].value;
const typeOf = (attributes: Attributes, name: string) => (attributes[name] as { value: number }).value;
const list = (attributes: Attributes, name: string) => (attributes[name] as { value: readonly number[] }).value;
const product = (values: readonly number[]) => values.reduce((all, value) => all * value, 1);

/** The numbers of an input that must be a constant, such as an axis. */
function constant(spec: TensorSpec | undefined): number[] {
  if (!spec?.values) throw new Error("recording: a shape, an axis or a size depends on what is computed");
  return Array.from(spec.values);
}

const axis = (value: number, rank: number) => (value < 0 ? value + rank : value);

const reduction: Rule = ([x, axes], attributes) => {
  const gone = new Set(constant(axes).map((each) => axis(each, x!.shape.length)));
  const keep = flag(attributes, "keep_dims");
  return [{ dtype: x!.dtype, shape: x!.shape.flatMap((size, i) => (gone.has(i) ? (keep ? [1] : []) : [size])) }];
};

/** One side after a window goes over it. */
function windowed(size: number, window: number, stride: number, padding: readonly [number, number] | "SAME" | "VALID"): number {
  if (padding === "SAME") return Math.ceil(size / stride);
  const [before, after] = padding === "VALID" ? [0, 0] : padding;
  return Math.floor((size + before + after - window) / stride) + 1;
}

function slidingWindow(x: TensorSpec, window: readonly [number, number], channels: number, attributes: Attributes): TensorSpec[] {
  const [batch, height, width] = x.shape as [number, number, number];
  const strides = list(attributes, "strides");
  const padding = (attributes["padding"] as { value: string }).value;
  const explicit = padding === "EXPLICIT" ? list(attributes, "explicit_paddings") : undefined;
  const along = (size: number, dimension: 1 | 2) =>
    windowed(
      size,
      window[dimension - 1]!,
      strides[dimension]!,
      explicit ? [explicit[2 * dimension]!, explicit[2 * dimension + 1]!] : (padding as "SAME" | "VALID"),
    );
  return [{ dtype: x.dtype, shape: [batch, along(height, 1), along(width, 2), channels] }];
}

const pool: Rule = ([x], attributes) => {
  const [, height, width] = list(attributes, "ksize");
  return slidingWindow(x!, [height!, width!], x!.shape[3]!, attributes);
};

const channelVector = (x: TensorSpec): TensorSpec => ({ dtype: DataType.float32, shape: [x.shape[3]!] });

const rules: Readonly<Record<string, Rule>> = {
  ...Object.fromEntries(["Sigmoid", "Square", "Neg", "Relu", "Atan", "Sqrt", "Abs", "Exp", "Log", "Log1p", "Softmax", "Identity"].map((op) => [op, sameAs(0)])),
  ...Object.fromEntries(["Add", "AddV2", "Sub", "Mul", "RealDiv", "Div", "Minimum", "Maximum", "Pow", "SigmoidGrad"].map((op) => [op, binary])),
  ...Object.fromEntries(["Greater", "GreaterEqual", "Less", "LessEqual", "Equal", "NotEqual"].map((op) => [op, comparison])),
  ...Object.fromEntries(["Sum", "Max", "Min", "Mean"].map((op) => [op, reduction])),
  IsNan: ([x]) => [{ dtype: DataType.bool, shape: x!.shape }],
  Cast: ([x], attributes) => [{ dtype: typeOf(attributes, "DstT"), shape: x!.shape }],
  Select: sameAs(1),
  Reshape([x, to]) {
    const shape = constant(to);
    const known = product(shape.filter((size) => size !== -1));
    return [{ dtype: x!.dtype, shape: shape.map((size) => (size === -1 ? product(x!.shape) / known : size)) }];
  },
  ExpandDims([x, at]) {
    const index = axis(constant(at)[0]!, x!.shape.length + 1);
    return [{ dtype: x!.dtype, shape: x!.shape.toSpliced(index, 0, 1) }];
  },
  Transpose: ([x, order]) => [{ dtype: x!.dtype, shape: constant(order).map((i) => x!.shape[i]!) }],
  Fill: ([shape, value]) => [{ dtype: value!.dtype, shape: constant(shape) }],
  Range([start, stop, step]) {
    const [from, to, by] = [start, stop, step].map((spec) => constant(spec)[0]!) as [number, number, number];
    const values = Array.from({ length: Math.max(0, Math.ceil((to - from) / by)) }, (_, i) => from + i * by);
    return [{ dtype: start!.dtype, shape: [values.length], values }];
  },
  Slice([x, , size]) {
    return [{ dtype: x!.dtype, shape: constant(size) }];
  },
  PadV2([x, paddings]) {
    const pads = constant(paddings);
    return [{ dtype: x!.dtype, shape: x!.shape.map((size, i) => size + pads[2 * i]! + pads[2 * i + 1]!) }];
  },
  Pack([first], attributes) {
    const { value: count } = attributes["N"] as { value: number };
    const at = axis((attributes["axis"] as { value: number }).value, first!.shape.length + 1);
    return [{ dtype: first!.dtype, shape: first!.shape.toSpliced(at, 0, count) }];
  },
  ConcatV2(inputs) {
    const parts = inputs.slice(0, -1);
    const at = axis(constant(inputs.at(-1))[0]!, parts[0]!.shape.length);
    const size = parts.reduce((sum, part) => sum + part.shape[at]!, 0);
    return [{ dtype: parts[0]!.dtype, shape: parts[0]!.shape.with(at, size) }];
  },
  SplitV([x, sizes, at]) {
    const index = axis(constant(at)[0]!, x!.shape.length);
    return constant(sizes).map((size) => ({ dtype: x!.dtype, shape: x!.shape.with(index, size) }));
  },
  ArgMax([x, at], attributes) {
    return [{ dtype: typeOf(attributes, "output_type"), shape: x!.shape.toSpliced(axis(constant(at)[0]!, x!.shape.length), 1) }];
  },
  TopKV2([x, k]) {
    const shape = [...x!.shape.slice(0, -1), constant(k)[0]!];
    return [
      { dtype: x!.dtype, shape },
      { dtype: DataType.int32, shape },
    ];
  },
  BatchMatMulV2([a, b], attributes) {
    const [m, n] = [a!.shape.at(flag(attributes, "adj_x") ? -1 : -2)!, b!.shape.at(flag(attributes, "adj_y") ? -2 : -1)!];
    return [{ dtype: a!.dtype, shape: [...broadcast(a!.shape.slice(0, -2), b!.shape.slice(0, -2)), m, n] }];
  },
  Conv2D: ([x, weights], attributes) => slidingWindow(x!, [weights!.shape[0]!, weights!.shape[1]!], weights!.shape[3]!, attributes),
  Conv2DBackpropInput: ([shape, , dy]) => [{ dtype: dy!.dtype, shape: constant(shape) }],
  Conv2DBackpropFilter: ([, shape, dy]) => [{ dtype: dy!.dtype, shape: constant(shape) }],
  // Outputs 4 and 5 are reserved for the gradient; the last is empty on a CPU and of no use to anyone but it.
  FusedBatchNormV3: ([x]) => [x!, ...Array.from({ length: 5 }, () => channelVector(x!))],
  FusedBatchNormGradV3: ([, x]) => [x!, ...Array.from({ length: 4 }, () => channelVector(x!))],
  MaxPool: pool,
  AvgPool: pool,
  MaxPoolGrad: sameAs(0),
  ResizeNearestNeighbor([x, size]) {
    const [height, width] = constant(size);
    return [{ dtype: x!.dtype, shape: [x!.shape[0]!, height!, width!, x!.shape[3]!] }];
  },
};

import type * as tf from "@tensorflow/tfjs-node";
import { backend, type OpAttr } from "../nn/kernels.ts";
import { type Attribute, DataType, type DataTypeNumber, type OutputName, type TensorflowGraph, typeAttribute } from "./graph.ts";
import { inferOutputs, type TensorSpec } from "./shapes.ts";

/** A tensor as the native binding describes it to tfjs-node. */
interface NativeTensor {
  readonly id: number;
  readonly dtype: number;
  readonly shape: readonly number[];
}

/** A tensor of the recording. */
interface Recorded extends TensorSpec {
  readonly output: OutputName;
}

/**
 * Records what TensorFlow is asked to compute while a function runs, as nodes of a graph, and computes nothing: it stands
 * between tfjs-node and the native binding, where every operation passes with its attributes, and answers with tensors that
 * have a shape and a type but no numbers. A recording therefore costs milliseconds and no memory, whatever its size. Shapes
 * are fixed: they have become constants by the time an operation arrives here.
 */
export class Recorder {
  readonly #graph: TensorflowGraph;
  /** By native id. Those of recorded tensors are negative, which tfjs-node never hands to the native side. */
  readonly #tensors = new Map<number, Recorded>();
  #next = -2;

  constructor(graph: TensorflowGraph) {
    this.#graph = graph;
  }

  /** The function's value; what it asked for is in the graph. The function must not read a tensor's numbers. */
  record<T>(work: () => T): T {
    const original = backend.binding;
    const watched: PropertyDescriptorMap = {
      createTensor: {
        value: (shape: readonly number[], dtype: number, values: ArrayLike<number>) => {
          const output = this.#graph.constant(dtype, shape, bytesOf(dtype, values));
          return this.#add({ output, dtype, shape, ...(values.length <= mostShapeNumbers && { values: Array.from(values) }) });
        },
      },
      executeOp: {
        value: (op: string, attributes: readonly OpAttr[], inputs: readonly number[]) => this.#operation(op, attributes, inputs),
      },
      tensorDataSync: {
        value: () => {
          throw new Error("a recorded function read a tensor's numbers, which there are none of yet");
        },
      },
    };
    backend.binding = Object.create(original, watched) as typeof original;
    try {
      return work();
    } finally {
      backend.binding = original;
    }
  }

  /** A tensor for the recorded function that is `output` in the graph. */
  input(output: OutputName, dtype: number, shape: readonly number[]): tf.Tensor {
    return backend.createOutputTensor({ id: this.#add({ output, dtype, shape }), dtype, shape });
  }

  /** Takes a tensor that has numbers into the graph as a constant. */
  constant(tensor: tf.Tensor): void {
    const { id, dtype } = materialised(tensor);
    const values = tensor.dataSync();
    this.#tensors.set(id, { output: this.#graph.constant(dtype, tensor.shape, bytesOf(dtype, values)), dtype, shape: tensor.shape });
  }

  /** The graph's name of a tensor of the recording. */
  output(tensor: tf.Tensor): OutputName {
    return this.#known(backend.tensorMap.get(tensor.dataId).id, "the result").output;
  }

  #add(tensor: Recorded): number {
    const id = this.#next--;
    this.#tensors.set(id, tensor);
    return id;
  }

  #known(id: number, user: string): Recorded {
    const tensor = this.#tensors.get(id);
    if (!tensor) throw new Error(`${user} uses a tensor that is neither an input nor a constant nor computed while recording`);
    return tensor;
  }

  #operation(op: string, attributes: readonly OpAttr[], ids: readonly number[]): NativeTensor[] {
    const given = Object.fromEntries(attributes.map((attribute) => [attribute.name, graphAttribute(attribute)]));
    const inputs = this.#inBfloat16(
      ids.map((id) => this.#known(id, op)),
      given,
    );
    const inferred = inferredType[op];
    // Eager execution infers what tfjs leaves out; a graph must say it.
    if (inferred && !given[inferred.attribute]) given[inferred.attribute] = typeAttribute(inputs[inferred.input]!.dtype);
    const name = this.#graph.node(
      op,
      inputs.map(({ output }) => output),
      given,
    );
    return inferOutputs(op, inputs, given).map(({ dtype, shape, values }, i) => {
      const id = this.#add({ output: `${name}:${i}`, dtype, shape, ...(values && { values }) });
      return { id, dtype: dtype === DataType.bfloat16 ? DataType.float32 : dtype, shape };
    });
  }

  /**
   * tfjs knows no bfloat16 and takes such tensors for float32. An operation on one is recorded as what it is, and a number
   * that stands beside it takes its type, as in other frameworks.
   */
  #inBfloat16(inputs: readonly Recorded[], given: Record<string, Attribute>): readonly Recorded[] {
    if (!given["T"] || !inputs.some(({ dtype }) => dtype === DataType.bfloat16)) return inputs;
    given["T"] = typeAttribute(DataType.bfloat16);
    return inputs.map((input) => {
      const { dtype, shape, values } = input;
      if (dtype !== DataType.float32 || shape.length > 0 || !values) return input;
      return { dtype: DataType.bfloat16, shape, values, output: this.#graph.constant(DataType.bfloat16, shape, bytesOf(DataType.bfloat16, values)) };
    });
  }
}

/** Constants of more numbers than this are not shapes, axes or sizes: of those no copy is kept. */
const mostShapeNumbers = 1024;

/** Type attributes that tfjs-node leaves to eager execution, and the input whose type they are. */
const inferredType: Readonly<Record<string, { readonly attribute: string; readonly input: number }>> = {
  ExpandDims: { attribute: "T", input: 0 },
  Reshape: { attribute: "T", input: 0 },
  Transpose: { attribute: "T", input: 0 },
  Tile: { attribute: "T", input: 0 },
  Slice: { attribute: "T", input: 0 },
  Squeeze: { attribute: "T", input: 0 },
  SelectV2: { attribute: "T", input: 1 },
  BroadcastTo: { attribute: "T", input: 0 },
};

/** The native tensor behind a tensor; tfjs makes it only when it is first used. */
function materialised(tensor: tf.Tensor): { id: number; dtype: number } {
  const info = backend.tensorMap.get(tensor.dataId);
  if (info.values !== null) {
    const create = backend.binding["createTensor"] as (shape: readonly number[], dtype: number, values: ArrayLike<number>) => number;
    info.id = create(info.shape, info.dtype, info.values);
    info.values = null;
  }
  return info;
}

function bytesOf(dtype: DataTypeNumber, values: ArrayLike<number>): Uint8Array {
  // The upper halves of float32: exact for the small whole numbers that stand in a network.
  if (dtype === DataType.bfloat16) {
    const halves = new Uint16Array(Float32Array.from(values).buffer).filter((_, i) => i % 2 === 1);
    return new Uint8Array(halves.buffer);
  }
  const typed =
    dtype === DataType.float32
      ? Float32Array.from(values)
      : dtype === DataType.int32
        ? Int32Array.from(values)
        : dtype === DataType.bool
          ? Uint8Array.from(values)
          : undefined;
  if (!typed) throw new Error(`a constant of TensorFlow's type ${dtype} cannot be recorded`);
  return new Uint8Array(typed.buffer);
}

function graphAttribute({ name, type, value }: OpAttr): Attribute {
  const { binding } = backend;
  const several = Array.isArray(value);
  switch (type) {
    case binding.TF_ATTR_TYPE:
      return several ? { kind: "types", value: value as number[] } : typeAttribute(value as number);
    case binding.TF_ATTR_INT:
      return several ? { kind: "ints", value: value as number[] } : { kind: "int", value: value as number };
    case binding.TF_ATTR_FLOAT:
      return several ? { kind: "floats", value: value as number[] } : { kind: "float", value: value as number };
    case binding.TF_ATTR_BOOL:
      return { kind: "bool", value: value as boolean };
    case binding.TF_ATTR_STRING:
      return { kind: "string", value: value as string };
    case binding.TF_ATTR_SHAPE:
      return { kind: "shape", value: value as number[] };
    default:
      throw new Error(`attribute ${name} has a kind (${type}) that cannot be recorded`);
  }
}

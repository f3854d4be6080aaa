import { MessageWriter } from "../files/protobuf.ts";

type Attribute = number | string | readonly number[];

/** Collects nodes and constants, and writes them as an ONNX model (opset 13, IR version 8). Names are its own. */
export class OnnxGraph {
  readonly #nodes: MessageWriter[] = [];
  readonly #constants: MessageWriter[] = [];
  #count = 0;

  /** Adds a node with one output and returns the output's name. */
  node(op: string, inputs: readonly string[], attributes: Record<string, Attribute> = {}): string {
    return this.nodes(op, inputs, 1, attributes)[0]!;
  }

  nodes(op: string, inputs: readonly string[], outputs: number, attributes: Record<string, Attribute> = {}): string[] {
    const name = `${op}_${this.#count++}`;
    const outs = Array.from({ length: outputs }, (_, i) => (outputs === 1 ? name : `${name}_${i}`));
    const node = new MessageWriter();
    for (const input of inputs) node.text(1, input);
    for (const out of outs) node.text(2, out);
    node.text(3, name).text(4, op);
    for (const [key, value] of Object.entries(attributes)) node.message(5, attribute(key, value));
    this.#nodes.push(node);
    return outs;
  }

  floats(name: string, shape: readonly number[], values: Float32Array): string {
    return this.#constant(name, shape, 1, values);
  }

  ints(name: string, values: readonly number[]): string {
    return this.#constant(name, [values.length], 7, BigInt64Array.from(values.map(BigInt)));
  }

  /** Bytes or 32-bit integers, for quantised tensors. */
  integers(name: string, shape: readonly number[], values: Uint8Array | Int8Array | Int32Array): string {
    return this.#constant(name, shape, values instanceof Uint8Array ? 2 : values instanceof Int8Array ? 3 : 6, values);
  }

  #constant(name: string, shape: readonly number[], type: number, values: Float32Array | BigInt64Array | Uint8Array | Int8Array | Int32Array): string {
    const tensor = new MessageWriter();
    for (const side of shape) tensor.int(1, side);
    // Raw data is little-endian, as every platform that Node runs on is.
    tensor
      .int(2, type)
      .text(8, name)
      .bytes(9, new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
    this.#constants.push(tensor);
    return name;
  }

  /** Gives a value a name of the caller's choice. */
  rename(value: string, name: string): void {
    this.#nodes.push(new MessageWriter().text(1, value).text(2, name).text(3, name).text(4, "Identity"));
  }

  /** The model's bytes. A side that is a string is a symbolic dimension. */
  finish(io: { input: ValueInfo; outputs: readonly ValueInfo[]; metadata: Record<string, string> }): Uint8Array {
    const graph = new MessageWriter();
    for (const node of this.#nodes) graph.message(1, node);
    graph.text(2, "yolov8");
    for (const constant of this.#constants) graph.message(5, constant);
    graph.message(11, valueInfo(io.input));
    for (const output of io.outputs) graph.message(12, valueInfo(output));
    const model = new MessageWriter().int(1, 8).text(2, "airloom").text(3, "1").message(7, graph);
    model.message(8, new MessageWriter().text(1, "").int(2, 13));
    for (const [key, value] of Object.entries(io.metadata)) model.message(14, new MessageWriter().text(1, key).text(2, value));
    return model.finish();
  }
}

export interface ValueInfo {
  readonly name: string;
  /** 32-bit numbers where it is left out. */
  readonly bytes?: true;
  readonly shape: readonly (number | string)[];
}

function valueInfo({ name, shape, bytes }: ValueInfo): MessageWriter {
  const dims = new MessageWriter();
  for (const side of shape) dims.message(1, typeof side === "number" ? new MessageWriter().int(1, side) : new MessageWriter().text(2, side));
  const tensor = new MessageWriter().int(1, bytes ? 2 : 1).message(2, dims);
  return new MessageWriter().text(1, name).message(2, new MessageWriter().message(1, tensor));
}

/** Attribute types as onnx.proto numbers them: FLOAT 1, INT 2, STRING 3, INTS 7. Whole numbers are INT. */
function attribute(name: string, value: Attribute): MessageWriter {
  const writer = new MessageWriter().text(1, name);
  if (typeof value === "number") return writer.int(3, value).int(20, 2);
  if (typeof value === "string") return writer.text(4, value).int(20, 3);
  for (const item of value) writer.int(8, item);
  return writer.int(20, 7);
}

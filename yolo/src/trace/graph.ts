import { MessageWriter } from "../files/protobuf.ts";

/** TensorFlow's numbers of element types (tensorflow/core/framework/types.proto). */
export const DataType = { float32: 1, uint8: 4, int32: 3, int64: 9, bool: 10, bfloat16: 14, resource: 20 } as const;
export type DataTypeNumber = number;

/** An attribute of a graph node, as AttrValue in tensorflow/core/framework/attr_value.proto. */
export type Attribute =
  | { readonly kind: "type" | "int" | "float"; readonly value: number }
  | { readonly kind: "bool"; readonly value: boolean }
  | { readonly kind: "string"; readonly value: string }
  | { readonly kind: "shape"; readonly value: readonly number[] }
  | { readonly kind: "ints" | "floats" | "types"; readonly value: readonly number[] }
  | { readonly kind: "tensor"; readonly type: DataTypeNumber; readonly shape: readonly number[]; readonly bytes: Uint8Array };

export const typeAttribute = (value: DataTypeNumber): Attribute => ({ kind: "type", value });

/** A node's output, such as "Conv2D_7:0"; "^name" waits for a node without using an output of it. */
export type OutputName = string;

/** A TensorFlow graph in the making, written as a SavedModel that TensorFlow's own session runs. */
export class TensorflowGraph {
  readonly #nodes: MessageWriter[] = [];
  #count = 0;

  /** Adds a node and gives its name. Its outputs are `${name}:0`, `${name}:1` … */
  node(op: string, inputs: readonly OutputName[], attributes: Readonly<Record<string, Attribute>> = {}, name = `${op}_${this.#count++}`): string {
    const node = new MessageWriter().text(1, name).text(2, op);
    // What a node waits for comes after what it uses.
    for (const input of inputs.filter((each) => !each.startsWith("^"))) node.text(3, input.replace(/:0$/, ""));
    for (const input of inputs.filter((each) => each.startsWith("^"))) node.text(3, input);
    for (const [key, value] of Object.entries(attributes)) node.message(5, new MessageWriter().text(1, key).message(2, attributeMessage(value)));
    this.#nodes.push(node);
    return name;
  }

  constant(type: DataTypeNumber, shape: readonly number[], bytes: Uint8Array): OutputName {
    return `${this.node("Const", [], { dtype: typeAttribute(type), value: { kind: "tensor", type, shape, bytes } })}:0`;
  }

  placeholder(name: string, type: DataTypeNumber, shape: readonly number[]): OutputName {
    return `${this.node("Placeholder", [], { dtype: typeAttribute(type), shape: { kind: "shape", value: shape } }, name)}:0`;
  }

  /** The bytes of `saved_model.pb`: one meta graph under the tag "serve", for producers of version 1087 and later. */
  finish(): Uint8Array {
    const graph = new MessageWriter();
    for (const node of this.#nodes) graph.message(1, node);
    graph.message(4, new MessageWriter().int(1, 1087));
    const meta = new MessageWriter().message(1, new MessageWriter().text(4, "serve")).message(2, graph);
    return new MessageWriter().int(1, 1).message(2, meta).finish();
  }
}

function shapeMessage(shape: readonly number[]): MessageWriter {
  const message = new MessageWriter();
  for (const size of shape) message.message(2, new MessageWriter().int(1, size));
  return message;
}

/** Field numbers are those of AttrValue and its ListValue. */
function attributeMessage(attribute: Attribute): MessageWriter {
  const message = new MessageWriter();
  switch (attribute.kind) {
    case "string":
      return message.text(2, attribute.value);
    case "int":
      return message.int(3, attribute.value);
    case "float":
      return message.float(4, attribute.value);
    case "bool":
      return message.int(5, attribute.value ? 1 : 0);
    case "type":
      return message.int(6, attribute.value);
    case "shape":
      return message.message(7, shapeMessage(attribute.value));
    case "tensor":
      return message.message(8, tensorMessage(attribute));
    case "ints":
    case "floats":
    case "types": {
      const list = new MessageWriter();
      for (const value of attribute.value) {
        if (attribute.kind === "ints") list.int(3, value);
        else if (attribute.kind === "floats") list.float(4, value);
        else list.int(6, value);
      }
      return message.message(1, list);
    }
  }
}

/** A TensorProto. Of numbers that are all the same one is written, which TensorFlow repeats: gradients are full of ones. */
function tensorMessage({ type, shape, bytes }: Extract<Attribute, { kind: "tensor" }>): MessageWriter {
  const message = new MessageWriter().int(1, type).message(2, shapeMessage(shape));
  if (type !== DataType.float32 || bytes.length <= 4) return message.bytes(4, bytes);
  const values = new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
  const [first] = values as unknown as [number];
  return values.every((value) => value === first) ? message.float(5, first) : message.bytes(4, bytes);
}

import { readMessage } from "../files/protobuf-reader.ts";
import type { NamedTensor, WeightsFile } from "../weights/safetensors.ts";

/**
 * The float32 initialisers of an ONNX model by name, and the licence in its metadata. Tensors in other files are refused: a
 * model must be whole.
 */
export function readOnnxWeights(file: Buffer): WeightsFile {
  const tensors = new Map<string, NamedTensor>();
  let licence: string | undefined;
  for (const { number, bytes } of readMessage(file)) {
    // ModelProto.metadata_props
    if (number === 14) licence ??= licenceIn(bytes);
    if (number !== 7) continue; // ModelProto.graph
    for (const field of readMessage(bytes)) {
      if (field.number !== 5) continue; // GraphProto.initializer
      const read = readTensor(field.bytes);
      if (read) tensors.set(read.name, read.tensor);
    }
  }
  if (tensors.size === 0) throw new Error("it is not an ONNX model with weights");
  return { tensors, ...(licence && { licence }) };
}

/** The value of a StringStringEntryProto whose key is "license". */
function licenceIn(entry: Buffer): string | undefined {
  const fields = new Map([...readMessage(entry)].map(({ number, bytes }) => [number, bytes.toString()]));
  return fields.get(1) === "license" ? fields.get(2) : undefined;
}

/** TensorProto; undefined where its numbers are not float32. */
function readTensor(data: Buffer): { name: string; tensor: NamedTensor } | undefined {
  const shape: number[] = [];
  let [name, type] = ["", 0];
  let raw: Buffer = Buffer.alloc(0);
  for (const { number, integer, bytes } of readMessage(data)) {
    if (number === 1 && bytes.length === 0) shape.push(integer);
    else if (number === 1) for (const each of packed(bytes)) shape.push(each);
    else if (number === 2) type = integer;
    else if (number === 4 || number === 9) raw = Buffer.concat([raw, bytes]);
    else if (number === 8) name = bytes.toString();
    else if (number === 13) throw new Error(`the numbers of ${name || "a tensor"} are in another file: export the model as one file`);
  }
  if (type !== 1) return undefined;
  const count = shape.reduce((product, size) => product * size, 1);
  if (raw.length !== count * 4) throw new Error(`${name} has ${raw.length} bytes, and its shape [${shape.join(", ")}] needs ${count * 4}`);
  return { name, tensor: { shape, values: new Float32Array(Uint8Array.from(raw).buffer) } };
}

/** Packed integers; those of shapes are small. */
function packed(bytes: Buffer): number[] {
  const values: number[] = [];
  let [value, factor] = [0, 1];
  for (const byte of bytes) {
    value += (byte & 127) * factor;
    factor *= 128;
    if (byte >= 128) continue;
    values.push(value);
    [value, factor] = [0, 1];
  }
  return values;
}

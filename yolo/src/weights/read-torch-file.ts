import { readZip } from "../files/zip.ts";
import { bfloatToFloat, halfToFloat } from "./half.ts";
import { readPickle } from "./pickle.ts";
import type { NamedTensor, WeightsFile } from "./safetensors.ts";

/** A storage that a pickle names: its kind of numbers, and its file in the archive. */
interface Storage {
  readonly kind: string;
  readonly key: string;
}

/** Bytes of a number, and how to read it. */
const kinds: Readonly<Record<string, { readonly bytes: number; read(view: DataView, at: number): number }>> = {
  FloatStorage: { bytes: 4, read: (view, at) => view.getFloat32(at, true) },
  DoubleStorage: { bytes: 8, read: (view, at) => view.getFloat64(at, true) },
  HalfStorage: { bytes: 2, read: (view, at) => halfToFloat(view.getUint16(at, true)) },
  BFloat16Storage: { bytes: 2, read: (view, at) => bfloatToFloat(view.getUint16(at, true)) },
  LongStorage: { bytes: 8, read: (view, at) => Number(view.getBigInt64(at, true)) },
  IntStorage: { bytes: 4, read: (view, at) => view.getInt32(at, true) },
};

/** The tensors of a model have together at most this many bytes. */
const mostBytes = 2 ** 31;
const mostPickleBytes = 64 * 2 ** 20;

/**
 * The tensors in a `.pt` file as torch ≥ 1.6 writes it, by name: those of a state dictionary, or of one under `model`, `ema`
 * or `state_dict`; and the licence that stands beside them. The file is read as data; one that would run code is refused with
 * the name of what it asked for.
 */
export function readTorchFile(file: Buffer): WeightsFile {
  const archive = readZip(file);
  const pickle = archive.names.find((name) => name.endsWith("/data.pkl") || name === "data.pkl");
  if (!pickle) throw new Error("the archive lacks data.pkl: it is not a file of torch's");
  const folder = pickle.slice(0, -"data.pkl".length);
  let total = 0;

  const tensor = (storage: unknown, offset: unknown, shape: unknown, stride: unknown): NamedTensor => {
    const { kind, key } = storage as Storage;
    const { bytes, read } = kinds[kind]!;
    const [sizes, steps] = [shape as number[], stride as number[]];
    const count = sizes.reduce((product, size) => product * size, 1);
    total += count * 4;
    if (!(total <= mostBytes)) throw new Error(`the file's tensors have more than ${mostBytes} bytes together`);
    const data = archive.read(`${folder}data/${key}`, mostBytes);
    const view = new DataView(data.buffer, data.byteOffset, data.length);
    const values = new Float32Array(count);
    for (let i = 0; i < count; i++) {
      let at = offset as number;
      for (let axis = sizes.length - 1, rest = i; axis >= 0; axis--) {
        at += (rest % sizes[axis]!) * steps[axis]!;
        rest = Math.floor(rest / sizes[axis]!);
      }
      if (!(at >= 0 && (at + 1) * bytes <= data.length)) throw new Error(`storage ${key} is shorter than a tensor in it`);
      values[i] = read(view, at * bytes);
    }
    return { shape: sizes, values };
  };
  const globals = {
    "collections.OrderedDict": () => new Map(),
    "torch._utils._rebuild_tensor_v2": tensor,
    "torch._utils._rebuild_parameter": (data: unknown) => data,
    ...Object.fromEntries(Object.keys(kinds).map((kind) => [`torch.${kind}`, () => kind])),
  };
  const root = readPickle(archive.read(pickle, mostPickleBytes), globals, (id) => {
    const [what, type, key] = id as [string, { name?: string }, string];
    const kind = type.name?.replace("torch.", "") ?? "";
    if (what !== "storage" || !(kind in kinds) || !/^\w+$/.test(key)) throw new Error("the pickle names a storage that is not one");
    return { kind, key } satisfies Storage;
  });
  const licence: unknown = root instanceof Map ? root.get("license") : undefined;
  return { tensors: stateOf(root), ...(typeof licence === "string" && { licence }) };
}

function stateOf(root: unknown): Map<string, NamedTensor> {
  if (!(root instanceof Map)) throw new Error("the file holds no dictionary of tensors");
  for (const name of ["ema", "model", "state_dict"]) {
    const inner: unknown = root.get(name);
    if (inner instanceof Map) return stateOf(inner);
  }
  const isTensor = (value: unknown): value is NamedTensor => typeof value === "object" && value !== null && "values" in value && "shape" in value;
  const tensors = [...(root as Map<string, unknown>)].filter((entry): entry is [string, NamedTensor] => isTensor(entry[1]));
  if (tensors.length === 0) throw new Error("the file's dictionary holds no tensors");
  return new Map(tensors);
}

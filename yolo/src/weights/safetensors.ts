import { bfloatToFloat, halfToFloat } from "./half.ts";

/** A named tensor of a safetensors file. */
export interface NamedTensor {
  readonly shape: readonly number[];
  readonly values: Float32Array;
}

/** What a file of weights holds. */
export interface WeightsFile {
  readonly tensors: ReadonlyMap<string, NamedTensor>;
  /** The licence that the file states. */
  readonly licence?: string;
}

/** The bytes of a safetensors file (float32 only): header length, JSON header, data. Names keep their order. */
export function writeSafetensors(tensors: ReadonlyMap<string, NamedTensor>, metadata: Record<string, string>): Buffer {
  const header: Record<string, unknown> = { __metadata__: metadata };
  let offset = 0;
  for (const [name, { shape, values }] of tensors) {
    header[name] = { dtype: "F32", shape, data_offsets: [offset, offset + values.byteLength] };
    offset += values.byteLength;
  }
  const json = JSON.stringify(header);
  const padded = Buffer.from(json.padEnd(Math.ceil(json.length / 8) * 8, " "));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(padded.length));
  const data = [...tensors.values()].map(({ values }) => Buffer.from(values.buffer, values.byteOffset, values.byteLength));
  return Buffer.concat([length, padded, ...data]);
}

interface Kind {
  readonly bytes: number;
  read(view: DataView, at: number): number;
}

/** The kinds of numbers that are read, and how; all become float32. */
const kinds: Readonly<Record<string, Kind>> = {
  F64: { bytes: 8, read: (view, at) => view.getFloat64(at, true) },
  F32: { bytes: 4, read: (view, at) => view.getFloat32(at, true) },
  F16: { bytes: 2, read: (view, at) => halfToFloat(view.getUint16(at, true)) },
  BF16: { bytes: 2, read: (view, at) => bfloatToFloat(view.getUint16(at, true)) },
};

function floatsOf(bytes: Buffer, kind: Kind): Float32Array {
  // Copied, because a view must start at a multiple of four.
  if (kind === kinds["F32"]) return new Float32Array(Uint8Array.from(bytes).buffer);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  return Float32Array.from({ length: bytes.length / kind.bytes }, (_, i) => kind.read(view, i * kind.bytes));
}

/** A header longer than this is not a checkpoint of ours, and would cost memory before anything is checked. */
const maxHeaderBytes = 16 * 1024 * 1024;

/** The tensors and metadata of a safetensors file; throws where header and data do not agree. */
export function readSafetensors(file: Buffer): { tensors: Map<string, NamedTensor>; metadata: Record<string, string> } {
  if (file.length < 8) throw new Error("not a safetensors file: shorter than its header's length");
  const length = Number(file.readBigUInt64LE(0));
  if (length > maxHeaderBytes || 8 + length > file.length) throw new Error(`not a safetensors file: a header of ${length} bytes does not fit`);
  const header = JSON.parse(file.toString("utf8", 8, 8 + length)) as Record<string, { dtype: string; shape: number[]; data_offsets: [number, number] }>;
  const tensors = new Map<string, NamedTensor>();
  for (const [name, entry] of Object.entries(header)) {
    if (name === "__metadata__") continue;
    const [start, end] = entry.data_offsets;
    const count = entry.shape.reduce((product, side) => product * side, 1);
    // Counters and masks are nothing a network begins with.
    if (/^([IU]\d+|BOOL)$/.test(entry.dtype)) continue;
    const kind = kinds[entry.dtype];
    if (!kind) throw new Error(`tensor ${name} is ${entry.dtype}: only ${Object.keys(kinds).join(", ")} can be read`);
    if (!(start >= 0 && end - start === count * kind.bytes && 8 + length + end <= file.length))
      throw new Error(`tensor ${name}: its bytes ${start}–${end} do not fit shape [${entry.shape.join(", ")}] and the file`);
    const bytes = file.subarray(8 + length + start, 8 + length + end);
    tensors.set(name, { shape: entry.shape, values: floatsOf(bytes, kind) });
  }
  return { tensors, metadata: (header["__metadata__"] ?? {}) as unknown as Record<string, string> };
}

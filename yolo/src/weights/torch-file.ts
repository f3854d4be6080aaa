import { buffer } from "node:stream/consumers";
import { ZipFile } from "yazl";
import type { NamedTensor } from "./safetensors.ts";

/** What can stand in a checkpoint beside its tensors. */
export type PlainValue = string | number | readonly PlainValue[];

/**
 * A checkpoint that `torch.load(…, weights_only=True)` reads: a zip of a pickle and one file of raw floats per tensor, as
 * torch's own serialisation note describes. `model` holds the tensors by name, `extra` stands beside it.
 */
export async function writeTorchFile(tensors: ReadonlyMap<string, NamedTensor>, extra: Readonly<Record<string, PlainValue>>): Promise<Buffer> {
  const zip = new ZipFile();
  // Fixed, so that the same weights give the same bytes.
  const options = { compress: false, mtime: new Date("1980-01-01T00:00:00Z") };
  zip.addBuffer(new PickleWriter().checkpoint(tensors, extra), "best/data.pkl", options);
  zip.addBuffer(Buffer.from("little"), "best/byteorder", options);
  [...tensors.values()].forEach(({ values }, i) => zip.addBuffer(Buffer.from(values.buffer, values.byteOffset, values.byteLength), `best/data/${i}`, options));
  zip.addBuffer(Buffer.from("3\n"), "best/version", options);
  zip.end();
  return buffer(zip.outputStream);
}

/** Pickle protocol 2, as much of it as a dictionary of tensors needs; opcodes are named as in Python's pickletools. */
class PickleWriter {
  readonly #chunks: Buffer[] = [];

  checkpoint(tensors: ReadonlyMap<string, NamedTensor>, extra: Readonly<Record<string, PlainValue>>): Buffer {
    this.#op(0x80, Buffer.of(2)); // PROTO
    this.#dict(() => {
      this.#text("model");
      this.#dict(() => {
        [...tensors].forEach(([name, tensor], i) => {
          this.#text(name);
          this.#tensor(tensor, String(i));
        });
      });
      for (const [key, value] of Object.entries(extra)) {
        this.#text(key);
        this.#plain(value);
      }
    });
    this.#op(0x2e); // STOP
    return Buffer.concat(this.#chunks);
  }

  #op(code: number, ...operands: Buffer[]): void {
    this.#chunks.push(Buffer.of(code), ...operands);
  }

  #dict(fill: () => void): void {
    this.#op(0x7d); // EMPTY_DICT
    this.#op(0x28); // MARK
    fill();
    this.#op(0x75); // SETITEMS
  }

  #tuple(fill: () => void): void {
    this.#op(0x28); // MARK
    fill();
    this.#op(0x74); // TUPLE
  }

  #text(value: string): void {
    const bytes = Buffer.from(value);
    const length = Buffer.alloc(4);
    length.writeUInt32LE(bytes.length);
    this.#op(0x58, length, bytes); // BINUNICODE
  }

  #int(value: number): void {
    const bytes = Buffer.alloc(4);
    bytes.writeInt32LE(value);
    this.#op(0x4a, bytes); // BININT
  }

  #plain(value: PlainValue): void {
    if (typeof value === "string") return this.#text(value);
    if (typeof value === "number") return this.#int(value);
    this.#op(0x5d); // EMPTY_LIST
    this.#op(0x28); // MARK
    for (const item of value) this.#plain(item);
    this.#op(0x65); // APPENDS
  }

  #global(module: string, name: string): void {
    this.#op(0x63, Buffer.from(`${module}\n${name}\n`)); // GLOBAL
  }

  #tensor({ shape, values }: NamedTensor, key: string): void {
    this.#global("torch._utils", "_rebuild_tensor_v2");
    this.#tuple(() => {
      this.#tuple(() => {
        this.#text("storage");
        this.#global("torch", "FloatStorage");
        this.#text(key);
        this.#text("cpu");
        this.#int(values.length);
      });
      this.#op(0x51); // BINPERSID
      this.#int(0);
      this.#tuple(() => shape.forEach((side) => this.#int(side)));
      this.#tuple(() => shape.forEach((_, i) => this.#int(shape.slice(i + 1).reduce((product, side) => product * side, 1))));
      this.#op(0x89); // NEWFALSE: requires no gradient
      this.#global("collections", "OrderedDict");
      this.#op(0x29); // EMPTY_TUPLE
      this.#op(0x52); // REDUCE
    });
    this.#op(0x52); // REDUCE
  }
}

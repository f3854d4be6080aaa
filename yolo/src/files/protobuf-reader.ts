/** A field of a message: an integer, or the bytes of a string, a message or packed numbers. */
export interface Field {
  readonly number: number;
  readonly integer: number;
  readonly bytes: Buffer;
}

const nothing = Buffer.alloc(0);

/** The fields of a protocol-buffer message in order; throws where it is cut off or not one. */
export function* readMessage(data: Buffer): Generator<Field> {
  let at = 0;
  const varint = () => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      if (at >= data.length || shift > 63n) throw new Error("a protocol-buffer message is cut off");
      const byte = data[at++]!;
      value |= BigInt(byte & 127) << shift;
      if (byte < 128) return Number(BigInt.asIntN(64, value));
    }
  };
  const take = (length: number) => {
    if (length < 0 || at + length > data.length) throw new Error("a protocol-buffer message is cut off");
    at += length;
    return data.subarray(at - length, at);
  };
  while (at < data.length) {
    const key = varint();
    const number = Math.floor(key / 8);
    switch (key % 8) {
      case 0:
        yield { number, integer: varint(), bytes: nothing };
        break;
      case 1:
        yield { number, integer: 0, bytes: take(8) };
        break;
      case 2:
        yield { number, integer: 0, bytes: take(varint()) };
        break;
      case 5:
        yield { number, integer: 0, bytes: take(4) };
        break;
      default:
        throw new Error("it is not a protocol-buffer message");
    }
  }
}

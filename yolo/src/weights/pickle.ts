/** What a pickle may call: the function gets the arguments and gives the object. Nothing else of Python exists here. */
export type PickleGlobals = Readonly<Record<string, (...args: readonly unknown[]) => unknown>>;

/** A name of `PickleGlobals` that the pickle has put on its stack. */
class GlobalName {
  readonly call: (...args: readonly unknown[]) => unknown;
  readonly name: string;
  constructor(name: string, call: (...args: readonly unknown[]) => unknown) {
    this.name = name;
    this.call = call;
  }
}

const mark = Symbol("mark");
const mostItems = 5_000_000;

/**
 * Reads a pickle as data (protocols 2 to 5, opcodes as Python's pickletools names them). It executes nothing: the only calls
 * are to `globals`, and a pickle that names anything else is refused with that name. Dictionaries become Maps.
 *
 * @param persistent gives the object of a persistent id
 */
export function readPickle(data: Buffer, globals: PickleGlobals, persistent: (id: unknown) => unknown): unknown {
  const stack: unknown[] = [];
  const memo = new Map<number, unknown>();
  let at = 0;
  let items = 0;
  const need = (count: number) => {
    if (at + count > data.length) throw new Error("the pickle is cut off");
    at += count;
    return at - count;
  };
  const line = () => {
    const end = data.indexOf(0x0a, at);
    if (end < 0) throw new Error("the pickle is cut off");
    const text = data.toString("utf8", at, end);
    at = end + 1;
    return text;
  };
  const text = (length: number) => data.toString("utf8", need(length), at);
  const push = (value: unknown) => {
    if (++items > mostItems) throw new Error(`the pickle has more than ${mostItems} items`);
    stack.push(value);
  };
  const pop = (): unknown => {
    if (stack.length === 0 || stack.at(-1) === mark) throw new Error("the pickle takes more from its stack than there is");
    return stack.pop();
  };
  const popToMark = () => {
    const from = stack.lastIndexOf(mark);
    if (from < 0) throw new Error("the pickle lacks a mark");
    const taken = stack.splice(from);
    return taken.slice(1);
  };
  const global = (module: string, name: string) => {
    const full = `${module}.${name}`;
    const call = Object.hasOwn(globals, full) ? globals[full] : undefined;
    if (!call) throw new Error(`it asks for ${full}, which would run code or is unknown here: it is refused`);
    push(new GlobalName(full, call));
  };
  const call = (args: unknown) => {
    const named = pop();
    if (!(named instanceof GlobalName) || !Array.isArray(args)) throw new Error("the pickle calls what cannot be called");
    push(named.call(...(args as unknown[])));
  };
  const append = (values: readonly unknown[]) => {
    const list = stack.at(-1);
    if (!Array.isArray(list)) throw new Error("the pickle fills what is no list");
    for (const value of values) list.push(value);
  };
  const setItems = (pairs: readonly unknown[]) => {
    const map = stack.at(-1);
    if (!(map instanceof Map)) throw new Error("the pickle fills what is no dictionary");
    for (let i = 0; i + 1 < pairs.length; i += 2) map.set(pairs[i], pairs[i + 1]);
  };
  const long = (length: number) => {
    let value = 0n;
    const start = need(length);
    for (let i = length - 1; i >= 0; i--) value = (value << 8n) | BigInt(data[start + i]!);
    return Number(BigInt.asIntN(length * 8, value));
  };

  const opcodes: Readonly<Record<number, () => void>> = {
    0x80: () => void need(1), // PROTO
    0x95: () => void need(8), // FRAME
    0x28: () => push(mark), // MARK
    0x30: () => void pop(), // POP
    0x31: () => void popToMark(), // POP_MARK
    0x4e: () => push(null), // NONE
    0x88: () => push(true), // NEWTRUE
    0x89: () => push(false), // NEWFALSE
    0x4b: () => push(data.readUInt8(need(1))), // BININT1
    0x4d: () => push(data.readUInt16LE(need(2))), // BININT2
    0x4a: () => push(data.readInt32LE(need(4))), // BININT
    0x8a: () => push(long(data.readUInt8(need(1)))), // LONG1
    0x47: () => push(data.readDoubleBE(need(8))), // BINFLOAT
    0x58: () => push(text(data.readUInt32LE(need(4)))), // BINUNICODE
    0x8c: () => push(text(data.readUInt8(need(1)))), // SHORT_BINUNICODE
    0x55: () => push(text(data.readUInt8(need(1)))), // SHORT_BINSTRING
    0x54: () => push(text(data.readUInt32LE(need(4)))), // BINSTRING
    0x42: () => push(data.subarray(need(data.readUInt32LE(need(4))), at)), // BINBYTES
    0x43: () => push(data.subarray(need(data.readUInt8(need(1))), at)), // SHORT_BINBYTES
    0x7d: () => push(new Map()), // EMPTY_DICT
    0x5d: () => push([]), // EMPTY_LIST
    0x29: () => push([]), // EMPTY_TUPLE
    0x8f: () => push([]), // EMPTY_SET
    0x74: () => push(popToMark()), // TUPLE
    0x6c: () => push(popToMark()), // LIST
    0x85: () => push([pop()]), // TUPLE1
    0x86: () => push([pop(), pop()].toReversed()), // TUPLE2
    0x87: () => push([pop(), pop(), pop()].toReversed()), // TUPLE3
    0x75: () => setItems(popToMark()), // SETITEMS
    0x73: () => setItems([pop(), pop()].toReversed()), // SETITEM
    0x65: () => append(popToMark()), // APPENDS
    0x61: () => append([pop()]), // APPEND
    0x71: () => void memo.set(data.readUInt8(need(1)), stack.at(-1)), // BINPUT
    0x72: () => void memo.set(data.readUInt32LE(need(4)), stack.at(-1)), // LONG_BINPUT
    0x94: () => void memo.set(memo.size, stack.at(-1)), // MEMOIZE
    0x68: () => push(memo.get(data.readUInt8(need(1)))), // BINGET
    0x6a: () => push(memo.get(data.readUInt32LE(need(4)))), // LONG_BINGET
    0x63: () => global(line(), line()), // GLOBAL
    0x93: () => {
      // STACK_GLOBAL
      const [name, module] = [pop(), pop()];
      global(String(module), String(name));
    },
    0x52: () => call(pop()), // REDUCE
    0x51: () => push(persistent(pop())), // BINPERSID
    0x62: () => {
      // BUILD: of the objects that may be made here none has a state that matters.
      pop();
    },
  };
  for (;;) {
    const opcode = data.readUInt8(need(1));
    if (opcode === 0x2e) return pop(); // STOP
    const run = opcodes[opcode];
    if (!run) throw new Error(`the pickle has an opcode (0x${opcode.toString(16)}) that is not read`);
    run();
  }
}

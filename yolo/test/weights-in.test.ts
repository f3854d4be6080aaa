import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { deflateRawSync } from "node:zlib";
import fc from "fast-check";
import { readZip } from "../src/files/zip.ts";
import { initialWeights, layoutOf } from "../src/nn/parameters.ts";
import { exportOnnx } from "../src/onnx/export.ts";
import { writeCheckpoint, writeTorchCheckpoint } from "../src/weights/checkpoint.ts";
import { readPickle } from "../src/weights/pickle.ts";
import { readTorchFile } from "../src/weights/read-torch-file.ts";
import { readSafetensors, writeSafetensors } from "../src/weights/safetensors.ts";
import { ourName, readWeightsFile, takeWeights } from "../src/weights/take-weights.ts";

const config = { size: "n", classes: 3 } as const;
const layout = layoutOf(config);
const weights = initialWeights(layout, 4);
weights.stats.forEach((_, i) => (weights.stats[i] = 0.5 + (i % 7) / 7));
const checkpoint = { config, labels: ["a", "b", "c"], side: 64, weights };
const golden = (name: string) => readFileSync(new URL(`golden/${name}`, import.meta.url));

describe("weights from files", () => {
  it("come back whole from our own safetensors and .pt", async () => {
    for (const file of [writeCheckpoint(checkpoint), await writeTorchCheckpoint(checkpoint)]) {
      const taken = takeWeights(layout, readWeightsFile(file).tensors, 9);
      assert.deepEqual(taken.weights, weights);
      assert.deepEqual(taken.report, { matched: layout.slots.size + layout.stats.size, of: layout.slots.size + layout.stats.size, fresh: [], unused: [] });
    }
  });

  it("come from ONNX initialisers, and give the same ONNX again: folding a norm that changes nothing", () => {
    const onnx = Buffer.from(exportOnnx(config, layout, weights, { side: 64, labels: checkpoint.labels }));
    const { weights: taken, report } = takeWeights(layout, readWeightsFile(onnx).tensors, 9);
    assert.deepEqual([report.matched, report.fresh], [report.of, []]);
    const again = readWeightsFile(Buffer.from(exportOnnx(config, layout, taken, { side: 64, labels: checkpoint.labels }))).tensors;
    for (const [name, { values }] of readWeightsFile(onnx).tensors)
      values.forEach((value, i) => assert.ok(Math.abs(value - again.get(name)!.values[i]!) <= 1e-6 * Math.max(1, Math.abs(value)), name));
  });

  it("make the head anew for other classes, and say so", () => {
    const other = layoutOf({ size: "n", classes: 5 });
    const { weights: taken, report } = takeWeights(other, readWeightsFile(writeCheckpoint(checkpoint)).tensors, 9);
    assert.ok(
      report.fresh.every((text) => /^head\.p\d\.cls\.out\.(weight|bias): the file's is \[3/.test(text)),
      report.fresh.join("\n"),
    );
    assert.equal(report.fresh.length, 6);
    const slot = other.slots.get("backbone.stem.conv.weight")!;
    assert.deepEqual(taken.parameters.subarray(slot.offset, slot.offset + slot.length), weights.parameters.subarray(slot.offset, slot.offset + slot.length));
  });

  it("of another size or of no relation are reported, not taken", () => {
    const small = takeWeights(layoutOf({ size: "s", classes: 3 }), readWeightsFile(writeCheckpoint(checkpoint)).tensors, 9);
    // The box branches have as many channels in both.
    assert.ok(small.report.matched < small.report.of / 4, String(small.report.matched));
    const strange = writeSafetensors(new Map([["something.weight", { shape: [2], values: Float32Array.of(1, 2) }]]), {});
    const { report } = takeWeights(layout, readWeightsFile(strange).tensors, 9);
    assert.deepEqual([report.matched, report.unused], [0, ["something.weight"]]);
  });

  it("are known by the numbered names of other trainers", () => {
    const names = {
      "model.0.conv.weight": "backbone.stem.conv.weight",
      "model.model.2.m.0.cv2.bn.running_var": "backbone.c2.block0.b.bn.running_var",
      "module.model.9.cv1.conv.weight": "backbone.sppf.reduce.conv.weight",
      "model.12.cv2.bn.bias": "neck.up4.merge.bn.bias",
      "model.22.cv2.0.0.conv.weight": "head.p3.box.a.conv.weight",
      "model.22.cv3.2.2.bias": "head.p5.cls.out.bias",
      "backbone.stem.conv.weight": "backbone.stem.conv.weight",
    };
    for (const [theirs, ours] of Object.entries(names)) assert.equal(ourName(theirs), ours);
  });

  it("of other widths are read from safetensors, and counters passed over (bits by IEEE 754, by hand)", () => {
    const tensors = {
      half: ["F16", [4], "003c00c001000080"],
      brain: ["BF16", [2], "c03f80ff"],
      double: ["F64", [1], "000000000000f83f"],
      count: ["I64", [1], "0700000000000000"],
    };
    const header: Record<string, unknown> = { __metadata__: { license: "MIT" } };
    let data = "";
    for (const [name, [dtype, shape, hex]] of Object.entries(tensors)) {
      header[name] = { dtype, shape, data_offsets: [data.length / 2, (data.length + hex!.length) / 2] };
      data += hex as string;
    }
    const json = Buffer.from(JSON.stringify(header));
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(json.length));
    const file = Buffer.concat([length, json, Buffer.from(data, "hex")]);
    const { tensors: read, licence } = readWeightsFile(file);
    assert.deepEqual(
      [...read].map(([name, { values }]) => [name, ...values]),
      [
        ["half", 1, -2, 2 ** -24, -0],
        ["brain", 1.5, -Infinity],
        ["double", 1.5],
      ],
    );
    assert.equal(licence, "MIT");
    assert.throws(() => readWeightsFile(Buffer.from(file.toString("latin1").replace('"F16"', '"F8_"'), "latin1")), /half is F8_: only F64, F32, F16, BF16/);
    assert.throws(() => readWeightsFile(file.subarray(0, -9)), /double/);
  });

  it("keep the licence that their file states, in every format", async () => {
    const licensed = { ...checkpoint, licence: "GPL-3.0" };
    const onnx = exportOnnx(config, layout, weights, { side: 64, labels: checkpoint.labels, licence: "GPL-3.0" });
    for (const file of [writeCheckpoint(licensed), await writeTorchCheckpoint(licensed), Buffer.from(onnx)])
      assert.equal(readWeightsFile(file).licence, "GPL-3.0");
    assert.equal(readWeightsFile(golden("small.pt")).licence, undefined);
    assert.equal(readWeightsFile(writeCheckpoint(checkpoint)).licence, "Apache-2.0");
  });

  it("say what the file is, where it is none", () => {
    assert.throws(() => readWeightsFile(Buffer.from("hello, this is no weights file")), /cannot be read as weights/);
    assert.throws(() => readWeightsFile(Buffer.from([0x80, 2, 0x2e, 0, 0, 0, 0, 0])), /a bare pickle, or a file of torch before 1\.6/);
  });
});

describe("a .pt file of torch", () => {
  it("gives the tensors of its model (written by torch 2.13)", () => {
    const { tensors } = readTorchFile(golden("small.pt"));
    assert.deepEqual(tensors.get("0.weight"), { shape: [2, 3], values: Float32Array.of(0, 1, 2, 3, 4, 5) });
    assert.deepEqual(tensors.get("1.running_var"), { shape: [2], values: Float32Array.of(1, 1) });
    assert.deepEqual(tensors.get("1.num_batches_tracked"), { shape: [], values: Float32Array.of(0) });
  });

  it("is read in every kind of float, turned, and as a part of a larger storage", () => {
    const values = Object.fromEntries([...readTorchFile(golden("kinds.pt")).tensors].map(([name, tensor]) => [name, [...tensor.values]]));
    assert.deepEqual(values, {
      half: [0, 0.25, 0.5, 0.75],
      brain: [0, 1, 2],
      double: [0, 1],
      turned: [0, 3, 1, 4, 2, 5],
      part: [4, 5, 6],
      parameter: [0, 1],
    });
  });

  it("never does more than fail when it is damaged (property)", () => {
    const file = golden("small.pt");
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(file.length - 1), fc.nat(255)), { minLength: 1, maxLength: 8 }), fc.nat(file.length), (changes, end) => {
        const damaged = Buffer.from(file.subarray(0, end % 3 === 0 ? end : file.length));
        for (const [at, value] of changes) if (at < damaged.length) damaged[at] = value;
        try {
          readTorchFile(damaged);
        } catch (error) {
          assert.ok(error instanceof Error);
        }
      }),
      { numRuns: 300 },
    );
  });
});

describe("the pickle reader", () => {
  const read = (text: string | Buffer) => readPickle(Buffer.from(text as string, "latin1"), {}, () => undefined);

  it("refuses whatever would run code, and names it", () => {
    const hostile = {
      "cos\nsystem\n(Vecho hacked\ntR.": "os.system",
      "\x80\x02cbuiltins\neval\n(X\x01\x00\x00\x001tR.": "builtins.eval",
      "\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x02ls\x85R.": "posix.system",
      "\x80\x02c__builtin__\n__import__\n.": "__builtin__.__import__",
      // JavaScript's own names are no names of Python's.
      "\x80\x02cconstructor\nconstructor\n.": "constructor.constructor",
    };
    for (const [pickle, name] of Object.entries(hostile)) assert.throws(() => read(pickle), new RegExp(`asks for ${name.replaceAll(".", "\\.")}.*refused`));
  });

  it("refuses opcodes that make objects of classes, and one that ends early", () => {
    assert.throws(() => read("\x80\x02}\x81."), /opcode \(0x81\) that is not read/);
    assert.throws(() => read("\x80\x02}"), /cut off/);
    assert.throws(() => read("\x80\x020."), /takes more from its stack/);
    assert.throws(() => read("\x80\x02K\x01)R."), /calls what cannot be called/);
  });

  it("reads what Python's pickle writes of plain data", () => {
    // pickle.dumps({"a": [1, 2.5, None, True], "b": ("x", -3)}, protocol=2)
    const pickle =
      "\x80\x02}q\x00(X\x01\x00\x00\x00aq\x01]q\x02(K\x01G@\x04\x00\x00\x00\x00\x00\x00N\x88eX\x01\x00\x00\x00bq\x03X\x01\x00\x00\x00xq\x04J\xfd\xff\xff\xff\x86q\x05u.";
    assert.deepEqual(
      read(pickle),
      new Map<string, unknown>([
        ["a", [1, 2.5, null, true]],
        ["b", ["x", -3]],
      ]),
    );
  });
});

describe("the zip reader", () => {
  /** An archive of one file whose directory tells `size`. */
  function archive(content: Buffer, size: number, method = 8): Buffer {
    const stored = method === 8 ? deflateRawSync(content) : content;
    const local = Buffer.alloc(31);
    local.writeUInt32LE(0x04034b50);
    local.writeUInt16LE(1, 26);
    local.write("a", 30);
    const entry = Buffer.alloc(47);
    entry.writeUInt32LE(0x02014b50);
    entry.writeUInt16LE(method, 10);
    entry.writeUInt32LE(stored.length, 20);
    entry.writeUInt32LE(size, 24);
    entry.writeUInt16LE(1, 28);
    entry.write("a", 46);
    const end = Buffer.alloc(22);
    end.writeUInt32LE(0x06054b50);
    end.writeUInt16LE(1, 10);
    end.writeUInt32LE(entry.length, 12);
    end.writeUInt32LE(local.length + stored.length, 16);
    return Buffer.concat([local, stored, entry, end]);
  }

  it("reads a file, and refuses one that is larger than its directory says, than allowed, or of a strange kind", () => {
    const zeros = Buffer.alloc(100_000);
    assert.ok(readZip(archive(zeros, zeros.length)).read("a", 1e6).equals(zeros));
    assert.throws(() => readZip(archive(zeros, 10)).read("a", 1e6));
    assert.throws(() => readZip(archive(zeros, zeros.length)).read("a", 1000), /has 100000 bytes, and 1000 are the most/);
    assert.throws(() => readZip(archive(zeros, zeros.length, 12)).read("a", 1e6), /compressed in a way \(12\)/);
    assert.throws(() => readZip(Buffer.from("nothing")), /not a zip archive/);
  });

  it("agrees with the safetensors of the same weights", async () => {
    const { tensors } = readSafetensors(writeCheckpoint(checkpoint));
    const { tensors: read } = readTorchFile(await writeTorchCheckpoint(checkpoint));
    assert.deepEqual([...read.keys()], [...tensors.keys()]);
  });
});

import { readOnnxWeights } from "../onnx/read-weights.ts";
import { initialWeights, type Layout, normEpsilon, slice, type Slot, type Weights } from "../nn/parameters.ts";
import { fromOutInHeightWidth } from "./checkpoint.ts";
import { readTorchFile } from "./read-torch-file.ts";
import { type NamedTensor, readSafetensors, type WeightsFile } from "./safetensors.ts";

/** What of a file's tensors a model took. */
export interface TakenReport {
  /** Parameters and statistics that came from the file. */
  readonly matched: number;
  readonly of: number;
  /** Those that begin anew, and why. */
  readonly fresh: readonly string[];
  /** Tensors of the file that no part of the model wanted. */
  readonly unused: readonly string[];
}

/** What is in a weights file: safetensors, ONNX or `.pt`, known by their first bytes. */
export function readWeightsFile(file: Buffer): WeightsFile {
  try {
    if (file.readUInt32LE(0) === 0x04034b50) return readTorchFile(file);
    if (file.length > 9 && file[8] === 0x7b) return fromSafetensors(file);
    if (file[0] === 0x80) throw new Error("it is a bare pickle, or a file of torch before 1.6: save it again with a newer torch");
    return readOnnxWeights(file);
  } catch (error) {
    throw new Error(`it cannot be read as weights: ${(error as Error).message}`, { cause: error });
  }
}

function fromSafetensors(file: Buffer): WeightsFile {
  const { tensors, metadata } = readSafetensors(file);
  const licence = metadata["license"];
  return { tensors, ...(licence && { licence }) };
}

/** Modules of YOLOv8 by the numbers that files of other trainers give them. */
const numbered: Readonly<Record<string, string>> = {
  0: "backbone.stem",
  1: "backbone.down2",
  2: "backbone.c2",
  3: "backbone.down3",
  4: "backbone.c3",
  5: "backbone.down4",
  6: "backbone.c4",
  7: "backbone.down5",
  8: "backbone.c5",
  9: "backbone.sppf",
  12: "neck.up4",
  15: "neck.up3",
  16: "neck.to4",
  18: "neck.down4",
  19: "neck.to5",
  21: "neck.down5",
};

/** A tensor's name in our layout; names that are ours already stay. */
export function ourName(name: string): string {
  const plain = name.replace(/^(?:module\.)?model\.(?:model\.)?(?=\d)/, "");
  const [, number, rest] = /^(\d+)\.(.+)$/.exec(plain) ?? [];
  if (!number || !rest) return name;
  const head = /^cv([23])\.(\d)\.(\d)\.(.+)$/.exec(rest);
  if (number === "22" && head) {
    const [, kind, level, step, leaf] = head as unknown as [string, string, string, string, string];
    const branch = `head.p${Number(level) + 3}.${kind === "2" ? "box" : "cls"}`;
    return step === "2" ? `${branch}.out.${leaf}` : `${branch}.${step === "0" ? "a" : "b"}.${leaf}`;
  }
  const module = numbered[number];
  if (!module) return name;
  const inner = rest.replace(/^m\.(\d+)\.cv1\./, "block$1.a.").replace(/^m\.(\d+)\.cv2\./, "block$1.b.");
  const first = module === "backbone.sppf" ? "reduce." : "split.";
  return `${module}.${inner.replace(/^cv1\./, first).replace(/^cv2\./, "merge.")}`;
}

/**
 * A model's weights, taken from a file's tensors where name and shape fit, and fresh elsewhere: a head for other classes is
 * made anew. A file whose batch norm is folded into its convolutions (ONNX) is taken with norms that change nothing.
 */
export function takeWeights(layout: Layout, tensors: ReadonlyMap<string, NamedTensor>, seed: number): { weights: Weights; report: TakenReport } {
  const weights = initialWeights(layout, seed);
  const given = new Map([...tensors].map(([name, tensor]) => [ourName(name), { name, tensor }]));
  const used = new Set<string>();
  const fresh: string[] = [];
  let matched = 0;
  const put = (slot: Slot, vector: Float32Array, from: string): boolean => {
    const found = given.get(from);
    if (!found) return false;
    const [kh, kw, channels, out] = slot.shape as [number, number, number, number];
    const wanted = slot.shape.length === 4 ? [out, channels, kh, kw] : slot.shape;
    used.add(found.name);
    if (found.tensor.shape.join() !== wanted.join()) {
      fresh.push(`${slot.name}: the file's is [${found.tensor.shape.join(", ")}], the model's [${wanted.join(", ")}]`);
      return true;
    }
    slice(vector, slot).set(slot.shape.length === 4 ? fromOutInHeightWidth(found.tensor.values, [kh, kw, channels, out]) : found.tensor.values);
    matched++;
    return true;
  };
  for (const slot of layout.slots.values()) {
    const module = slot.name.replace(/\.(conv\.weight|bn\.weight|bn\.bias)$/, "");
    const isFolded = module !== slot.name && !given.has(`${module}.bn.weight`) && (given.has(`${module}.bias`) || given.has(`${module}.conv.bias`));
    if (put(slot, weights.parameters, slot.name)) continue;
    if (isFolded && slot.name.endsWith("conv.weight") && put(slot, weights.parameters, `${module}.weight`)) continue;
    if (isFolded && slot.name.endsWith("bn.bias") && (put(slot, weights.parameters, `${module}.bias`) || put(slot, weights.parameters, `${module}.conv.bias`)))
      continue;
    if (isFolded && slot.name.endsWith("bn.weight")) {
      // Its scale stays 1; with this variance the norm divides by one.
      slice(weights.stats, layout.stats.get(`${module}.bn.running_var`)!).fill(1 - normEpsilon);
      matched++;
      continue;
    }
    fresh.push(`${slot.name}: the file has none`);
  }
  for (const slot of layout.stats.values()) {
    const module = slot.name.replace(/\.bn\.running_(mean|var)$/, "");
    if (put(slot, weights.stats, slot.name)) continue;
    if (!given.has(`${module}.bn.weight`) && (given.has(`${module}.bias`) || given.has(`${module}.conv.bias`))) matched++;
    else fresh.push(`${slot.name}: the file has none`);
  }
  const ignorable = /num_batches_tracked$|dfl\.conv\.weight$/;
  const unused = [...tensors.keys()].filter((name) => !used.has(name) && !ignorable.test(name));
  return { weights, report: { matched, of: layout.slots.size + layout.stats.size, fresh, unused } };
}

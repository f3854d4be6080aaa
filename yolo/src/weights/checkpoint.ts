import { type ModelConfig, type Size, sizes } from "../nn/model.ts";
import { layoutOf, slice, type Slot, type Weights } from "../nn/parameters.ts";
import { toOutInHeightWidth } from "../onnx/layers.ts";
import { ownLicence } from "./licence.ts";
import { type NamedTensor, readSafetensors, writeSafetensors } from "./safetensors.ts";
import { writeTorchFile } from "./torch-file.ts";

/** A model as it is kept in a file: weights, and what is needed to build the network around them. */
export interface Checkpoint {
  readonly config: ModelConfig;
  readonly labels: readonly string[];
  /** Side of the square pictures it was trained on, pixels. */
  readonly side: number;
  readonly weights: Weights;
  /** Under what the weights may be used; Airloom's own licence where they began from scratch. */
  readonly licence?: string;
}

/** The tensors of a checkpoint by name, convolutions as torch has them: [out, in, height, width]. */
function tensorsOf({ config, weights }: Checkpoint): Map<string, NamedTensor> {
  const layout = layoutOf(config);
  const tensors = new Map<string, NamedTensor>();
  const put = (slot: Slot, vector: Float32Array) => {
    const values = slice(vector, slot);
    const [kh, kw, channels, out] = slot.shape as [number, number, number, number];
    if (slot.shape.length === 4) tensors.set(slot.name, { shape: [out, channels, kh, kw], values: toOutInHeightWidth(values, [kh, kw, channels, out]) });
    else tensors.set(slot.name, { shape: slot.shape, values });
  };
  for (const slot of layout.slots.values()) put(slot, weights.parameters);
  for (const slot of layout.stats.values()) put(slot, weights.stats);
  return tensors;
}

/** A checkpoint as safetensors: what Airloom itself reads. */
export function writeCheckpoint(checkpoint: Checkpoint): Buffer {
  const { config, labels, side, licence = ownLicence } = checkpoint;
  const metadata = { format: "pt", model: `yolov8${config.size}`, imgsz: String(side), labels: JSON.stringify(labels), license: licence };
  return writeSafetensors(tensorsOf(checkpoint), metadata);
}

/** A checkpoint as a `.pt` file, for people who go on in torch. */
export async function writeTorchCheckpoint(checkpoint: Checkpoint): Promise<Buffer> {
  const { config, labels, side, licence = ownLicence } = checkpoint;
  return writeTorchFile(tensorsOf(checkpoint), { architecture: `yolov8${config.size}`, names: labels, imgsz: side, license: licence });
}

/** The checkpoint in a file; throws an error that names the first thing that does not fit. */
export function readCheckpoint(file: Buffer): Checkpoint {
  const { tensors, metadata } = readSafetensors(file);
  const size = metadata["model"]?.replace(/^yolov8/, "") as Size;
  if (!(size in sizes)) throw new Error(`the checkpoint's model is ${JSON.stringify(metadata["model"])}, not one of yolov8n, s, m, l, x`);
  const labels = JSON.parse(metadata["labels"] ?? "[]") as string[];
  const config = { size, classes: labels.length };
  const layout = layoutOf(config);
  const weights = { parameters: new Float32Array(layout.length), stats: new Float32Array(layout.statsLength) };
  for (const slot of layout.slots.values()) take(tensors, slot, slice(weights.parameters, slot));
  for (const slot of layout.stats.values()) take(tensors, slot, slice(weights.stats, slot));
  return { config, labels, side: Number(metadata["imgsz"]), weights };
}

function take(tensors: ReadonlyMap<string, NamedTensor>, slot: Slot, into: Float32Array): void {
  const tensor = tensors.get(slot.name);
  if (!tensor) throw new Error(`the checkpoint lacks ${slot.name}`);
  const [kh, kw, channels, out] = slot.shape as [number, number, number, number];
  const wanted = slot.shape.length === 4 ? [out, channels, kh, kw] : slot.shape;
  if (tensor.shape.join() !== wanted.join()) throw new Error(`${slot.name} is [${tensor.shape.join(", ")}], and [${wanted.join(", ")}] was expected`);
  if (slot.shape.length !== 4) {
    into.set(tensor.values);
    return;
  }
  into.set(fromOutInHeightWidth(tensor.values, [kh, kw, channels, out]));
}

/** Weights [out, in, kh, kw] as [kh, kw, in, out]: the inverse of `toOutInHeightWidth`. */
export function fromOutInHeightWidth(values: Float32Array, [kh, kw, channels, out]: readonly [number, number, number, number]): Float32Array {
  const result = new Float32Array(values.length);
  for (let o = 0; o < out; o++)
    for (let i = 0; i < channels; i++)
      for (let y = 0; y < kh; y++)
        for (let x = 0; x < kw; x++) result[((y * kw + x) * channels + i) * out + o] = values[((o * channels + i) * kh + y) * kw + x]!;
  return result;
}

import type { Layers } from "../nn/model.ts";
import { foldNorm, type Layout, type Weights } from "../nn/parameters.ts";
import type { OnnxGraph } from "./graph.ts";
import { onnxLayers, toOutInHeightWidth, type Value } from "./layers.ts";

/** The smallest and the largest number of a value on calibration pictures, by the names of an `Observer`. */
export type Ranges = ReadonlyMap<string, readonly [low: number, high: number]>;

/** An 8-bit code of real numbers: (code − zero) × scale. */
interface Code {
  readonly scale: string;
  readonly zero: string;
  /** The scale's number, which biases need. */
  readonly step: number;
}

interface Quantised extends Value {
  readonly code?: Code;
}

/** The code of a picture's bytes. */
const pixelRange = [0, 1] as const;

/** The images, quantised: their 256 levels stay what they are. */
export function quantisedInput(graph: OnnxGraph, name: string): string {
  return quantise(graph, name, codeOf(graph, name, pixelRange));
}

/** Unsigned codes for a range, which is widened to hold 0: that has to be exact, because padding is 0. */
function codeOf(graph: OnnxGraph, name: string, [from, to]: readonly [number, number]): Code {
  const [low, high] = [Math.min(from, 0), Math.max(to, 1e-6)];
  const step = (high - low) / 255;
  return {
    step,
    scale: graph.floats(`${name}_scale`, [], Float32Array.of(step)),
    zero: graph.integers(`${name}_zero`, [], Uint8Array.of(Math.round(-low / step))),
  };
}

function quantise(graph: OnnxGraph, value: string, { scale, zero }: Code): string {
  return graph.node("DequantizeLinear", [graph.node("QuantizeLinear", [value, scale, zero]), scale, zero]);
}

/**
 * The network with quantised values (arXiv 1712.05877), in ONNX's QDQ form, which runtimes turn into integer arithmetic:
 * activations unsigned with one code a value, weights signed with one scale an output channel, biases in 32 bits.
 */
export function quantisedLayers(graph: OnnxGraph, layout: Layout, weights: Weights, ranges: Ranges): Layers<Quantised> {
  const plain = onnxLayers(graph, layout, weights);
  const image: Code = { step: 1 / 255, scale: "images_scale", zero: "images_zero" };
  const coded = (name: string, value: string, channels: number, code = codeOf(graph, name, ranges.get(name)!)): Quantised => ({
    name: quantise(graph, value, code),
    channels,
    code,
  });
  /** As `x` was: operations that only move numbers keep their code. */
  const kept = (value: string, { code, channels }: Quantised, count = channels): Quantised => ({
    name: quantise(graph, value, code!),
    channels: count,
    code: code!,
  });
  const half = graph.floats("sigmoid_scale", [], Float32Array.of(1 / 255));
  const sigmoidCode: Code = { step: 1 / 255, scale: half, zero: graph.integers("sigmoid_zero", [], Uint8Array.of(0)) };
  return {
    conv(name, x, { stride }) {
      const { kernel, bias, shape } = foldNorm(layout, weights, name);
      const [kh, kw, channels, out] = shape as [number, number, number, number];
      const { codes, scales } = quantisedWeights(toOutInHeightWidth(kernel, [kh, kw, channels, out]), out);
      const scale = graph.floats(`${name}.weight_scale`, [out], scales);
      const zeros = graph.integers(`${name}.weight_zero`, [out], new Int8Array(out));
      const w = graph.node("DequantizeLinear", [graph.integers(`${name}.weight`, [out, channels, kh, kw], codes), scale, zeros], { axis: 0 });
      const input = x.code ?? image;
      const biasScales = scales.map((each) => each * input.step);
      const biasCodes = Int32Array.from(bias, (value, i) => Math.round(value / biasScales[i]!));
      const b = graph.node(
        "DequantizeLinear",
        [
          graph.integers(`${name}.bias`, [out], biasCodes),
          graph.floats(`${name}.bias_scale`, [out], biasScales),
          graph.integers(`${name}.bias_zero`, [out], new Int32Array(out)),
        ],
        { axis: 0 },
      );
      const p = (kh - 1) / 2;
      const y = graph.node("Conv", [x.name, w, b], { kernel_shape: [kh, kw], strides: [stride, stride], pads: [p, p, p, p] });
      const pre = coded(`pre:${name}`, y, out);
      const sigmoid = quantise(graph, graph.node("Sigmoid", [pre.name]), sigmoidCode);
      return coded(name, graph.node("Mul", [pre.name, sigmoid]), out);
    },
    project: (name, x, shape) => plain.project(name, x, shape),
    halve(x) {
      const parts = plain.halve(x);
      return [kept(parts[0].name, x, parts[0].channels), kept(parts[1].name, x, parts[1].channels)];
    },
    concat(name, xs) {
      const y = plain.concat(name, xs);
      return coded(name, y.name, y.channels);
    },
    add: (name, a, b) => coded(name, plain.add(name, a, b).name, a.channels),
    upsample: (x) => kept(plain.upsample(x).name, x),
    maxPool: (x) => kept(plain.maxPool(x).name, x),
  };
}

/**
 * What two weights' codes of one sign may add up to. Processors without VNNI add two products of an activation's code, up to 255,
 * and a weight's in 16 bits (VPMADDUBSW in ONNX Runtime's kernels), and what is more becomes 32767: 255 × 128 = 32640 is not.
 */
const mostOfTwo = 128;

/**
 * Signed codes of weights [out, …], with a scale for each output channel. Which weights are added in 16 bits is the runtime's
 * affair, so no two of a channel may be too much: its largest is at most 127, and where two of a sign are alike, at most 64.
 */
export function quantisedWeights(values: Float32Array, out: number): { codes: Int8Array; scales: Float32Array } {
  const per = values.length / out;
  const codes = new Int8Array(values.length);
  const scales = new Float32Array(out);
  for (let channel = 0; channel < out; channel++) {
    const own = values.subarray(channel * per, (channel + 1) * per);
    const ordered = own.toSorted();
    const low = -((ordered[0] ?? 0) + Math.min(ordered[1] ?? 0, 0));
    const high = (ordered.at(-1) ?? 0) + Math.max(ordered.at(-2) ?? 0, 0);
    const most = Math.max(1e-9, -(ordered[0] ?? 0), ordered.at(-1) ?? 0);
    // Each is rounded up by half at most: so the sum of two has to be one less.
    const scale = Math.max(most / 127, Math.max(low, high) / (mostOfTwo - 1));
    scales[channel] = scale;
    for (let i = 0; i < per; i++) codes[channel * per + i] = Math.round(own[i]! / scale);
  }
  return { codes, scales };
}

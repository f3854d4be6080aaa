import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import * as tf from "@tensorflow/tfjs-node";
import { execa } from "execa";
import { seededRandom } from "../src/augment/random.ts";
import { conv2d, conv2dGradients, maxPool5, maxPool5Gradient, toBfloat16, toFloat32 } from "../src/nn/kernels.ts";
import { initialWeights, type Layout, normMomentum, type Slot } from "../src/nn/parameters.ts";
import { type Precision, trainingPass } from "../src/nn/train-layers.ts";
import { bfloat16Advice } from "../src/train/bfloat16.ts";
import { stepSetting } from "../src/train/step.ts";
import { sessionOf, TracedTrainer } from "../src/train/traced.ts";
import { freshState } from "../src/train/trainer.ts";
import { DataType, TensorflowGraph, typeAttribute } from "../src/trace/graph.ts";
import { Recorder } from "../src/trace/recorder.ts";
import { drawnBatch, side as drawnSide } from "./drawn-batch.ts";
import { oneDnnRefusesBfloat16, withoutOneDnn } from "./instruction-set.ts";
import { distance, roundingBound, stretch, type Way } from "./rounding.ts";

const project = fileURLToPath(new URL("../..", import.meta.url));

type Inputs = Readonly<Record<string, { readonly shape: readonly number[]; readonly values: Float32Array }>>;

/** What a recorded function makes of float32 inputs. */
function computed(inputs: Inputs, work: (tensors: Readonly<Record<string, tf.Tensor>>) => tf.Tensor): Float32Array {
  const graph = new TensorflowGraph();
  const recorder = new Recorder(graph);
  const { float32 } = DataType;
  tf.tidy(() => {
    const tensors = Object.entries(inputs).map(([name, { shape }]) => [name, recorder.input(graph.placeholder(name, float32, shape), float32, shape)] as const);
    const result = recorder.record(() => work(Object.fromEntries(tensors)));
    graph.node("Identity", [recorder.output(result)], { T: typeAttribute(float32) }, "result");
  });
  const session = sessionOf(graph);
  try {
    const feeds = Object.entries(inputs).map(([name, input]) => [name, { ...input, type: float32 }]);
    return session.run(Object.fromEntries(feeds), ["result"])[0]!;
  } finally {
    session.dispose();
  }
}

const filled = (shape: readonly number[], value: (i: number) => number) => ({
  shape,
  values: Float32Array.from({ length: shape.reduce((product, size) => product * size) }, (_, i) => value(i)),
});

/** A network of a few layers that has each kind of them. */
const shapes: Readonly<Record<string, readonly number[]>> = {
  ...Object.fromEntries([3, 16, 32].map((from, i) => [`${"abc"[i]}.conv.weight`, [i < 2 ? 3 : 1, i < 2 ? 3 : 1, from, [16, 32, 32][i]!]])),
  ...Object.fromEntries([16, 32, 32].flatMap((size, i) => ["weight", "bias"].map((leaf) => [`${"abc"[i]}.bn.${leaf}`, [size]]))),
  "d.weight": [1, 1, 32, 5],
  "d.bias": [5],
};
const few = { slots: new Map<string, Slot>(), stats: new Map() };
let total = 0;
for (const [name, shape] of Object.entries(shapes)) {
  const length = shape.reduce((product, size) => product * size);
  few.slots.set(name, { name, shape, offset: total, length });
  total += length;
}

/** Pixels a side of the picture; of the layers' outputs half as many. */
const side = 16;

/** The gradient of the few layers' parameters for two pictures and the gradient of their output. */
function gradientOf(precision: Precision, { forgets = false, upsampled = 1 } = {}): Float32Array {
  const random = seededRandom(9);
  // Of both signs alike: a mean that batch norm takes away again would make the errors of what is left larger.
  const some = (...shape: number[]) => filled(shape, () => random() - 0.5);
  const parameters = some(total);
  for (const { name, offset, length } of few.slots.values())
    if (name.endsWith("bn.weight")) for (let i = offset; i < offset + length; i++) parameters.values[i]! += 1;
  return computed({ image: some(2, side, side, 3), dy: some(2, side / 2, side / 2, 5), parameters }, ({ image, dy, parameters: given }) => {
    const pass = trainingPass(few as unknown as Layout, given as tf.Tensor1D, image!, precision);
    const { conv, project: last, halve, concat, add, upsample } = pass.layers;
    const [left, right] = halve(conv("a", image!, { out: 16, kernel: 3, stride: 2 }));
    /** The sum whose gradient reaches one of its terms alone. */
    const forgetful = () => {
      const y = tf.add(left, right);
      pass.tape.record([y], (given) => pass.tape.give(left, tf.clone(given)));
      return y;
    };
    const scaled = (x: tf.Tensor) => {
      const y = tf.clone(x);
      pass.tape.record([y], (given) => pass.tape.give(x, tf.mul(given, upsampled)));
      return y;
    };
    const joined = concat("joined", [forgets ? forgetful() : add("sum", left, right), right]);
    const wide = upsample(upsampled === 1 ? joined : scaled(joined));
    const narrow = conv("c", conv("b", wide, { out: 32, kernel: 3, stride: 2 }), { out: 32, kernel: 1, stride: 1 });
    pass.tape.give(last("d", narrow, { out: 5, initial: 0 }), dy!);
    pass.tape.backward();
    return pass.gradient();
  });
}

/**
 * The longest way to a parameter's gradient, that of a.conv.weight. Forward each convolution rounds weights, its sum, the norm,
 * the activation and its derivative, and the first one the picture; back the gradients by activation, norm and picture. The
 * sum, its gradient's two halves and the upsampling are five more.
 */
const way: Way = {
  roundings: 1 + 3 * 5 + 3 * 3 + 5,
  // Forward 3 × 3 × 3, 3 × 3 × 16 and 32 terms; back 32, and 3 × 3 × 32 that a stride of 2 gives a quarter of each; then all cells.
  sums: [27, 144, 32, 32, 72, 2 * (side / 2) ** 2],
};

/** Parameters whose gradients are farther apart than rounding explains, or longer or shorter. */
function wrong(exact: Float32Array, half: Float32Array): string[] {
  return [...few.slots.values()].flatMap(({ name, shape, offset, length }) => {
    const [a, b] = [exact.subarray(offset, offset + length), half.subarray(offset, offset + length)];
    const [apart, stretched] = [distance(a, b), Math.abs(stretch(a, b) - 1)];
    // The output's bias alone is computed in float32, from the same numbers in the same way.
    const most = name === "d.bias" ? roundingBound("float32", { roundings: 1, sums: [2 * (side / 2) ** 2] }) : roundingBound("bfloat16", way);
    // Errors point anywhere, and a factor along the vector: of the length of errors that are one number for each output channel,
    // which is what a norm shares out, a root of their number lies along it.
    const isWrong = apart > most || stretched > most / Math.sqrt(shape.at(-1)!);
    return isWrong ? [`${name}: ${apart} apart, ${stretched} too long or short, for ${most}`] : [];
  });
}

/** A whole number of −1, 0 or 1, the same for the same `i`. */
const whole = (salt: number) => (i: number) => ((Math.imul(i + salt, 2654435761) >>> 13) % 3) - 1;

const exactAndNear = () => {
  for (const [kernel, stride] of [
    [3, 2],
    [3, 1],
    [1, 1],
  ] as const)
    it(`give a convolution and both its gradients exactly, where numbers are whole: ${kernel} × ${kernel}, stride ${stride}`, () => {
      // Products are −1, 0 or 1, and no sum has more than 256 of them (cells: 2 × 8 × 8): in whatever order and width they are
      // added, each number on the way is one that bfloat16 has.
      const cells = 8 / stride;
      const given = {
        x: filled([2, 8, 8, 16], whole(1)),
        w: filled([kernel, kernel, 16, 16], whole(2)),
        dy: filled([2, cells, cells, 16], whole(3)),
      };
      const all = (x: tf.Tensor, w: tf.Tensor, dy: tf.Tensor) => {
        const { dWeights, dx } = conv2dGradients(x, w, dy, stride, { filterOnly: false });
        return [conv2d(x, w, stride), dWeights, dx!];
      };
      const flat = (tensors: tf.Tensor[]) => tf.concat1d(tensors.map((tensor) => tf.reshape(tensor, [-1]) as tf.Tensor1D));
      const exact = computed(given, ({ x, w, dy }) => flat(all(x!, w!, dy!)));
      const half = computed(given, ({ x, w, dy }) => flat(all(toBfloat16(x!), toBfloat16(w!), toBfloat16(dy!)).map(toFloat32)));
      assert.deepEqual(half, exact);
      assert.ok(exact.every(Number.isInteger) && exact.some((value) => value > 8));
    });

  it("give max-pool's gradient exactly, where numbers are whole and differ", () => {
    // 0 … 255 in some order, and gradients of 1 … 4: bfloat16 has them all, and the sums of 25 of them.
    const x = filled([1, 16, 16, 1], (i) => (i * 97) % 256);
    const dy = filled(x.shape, (i) => 1 + (i % 4));
    const exact = computed({ x, dy }, (given) => maxPool5Gradient(given["x"]!, maxPool5(given["x"]!), given["dy"]!));
    const half = computed({ x, dy }, (given) => {
      const [wide, gradient] = [toBfloat16(given["x"]!), toBfloat16(given["dy"]!)];
      return toFloat32(maxPool5Gradient(wide, maxPool5(wide), gradient));
    });
    assert.deepEqual(half, exact);
    assert.equal(half.filter((value) => value > 0).length > 8, true);
  });

  // The float32 pass is the measure, which torch's golden numbers hold.
  it("give the gradients of float32 through each kind of layer, as near as rounding lets them", () => {
    const [exact, half] = [gradientOf("fp32"), gradientOf("bf16")];
    assert.deepEqual(wrong(exact, half), []);
    // It was bfloat16 that was computed in.
    for (const { name, offset, length } of few.slots.values())
      if (name !== "d.bias") assert.ok(distance(exact.subarray(offset, offset + length), half.subarray(offset, offset + length)) > 1e-4, name);
  });

  it("are told from a pass that forgets a term of a gradient, and from one that is a tenth too long", () => {
    const exact = gradientOf("fp32");
    const affected = (names: string[]) => names.map((text) => text.split(":")[0]);
    for (const fault of [{ forgets: true }, { upsampled: 1.1 }])
      assert.deepEqual(affected(wrong(exact, gradientOf("bf16", fault))), ["a.conv.weight", "a.bn.weight", "a.bn.bias"]);
  });

  it("give the losses of float32 and each layer's statistics, as near as rounding lets them", () => {
    const setting = (precision: Precision) =>
      stepSetting({ config: { size: "n", classes: 3 }, side: drawnSide, optimizer: "AdamW", weightDecay: 5e-4, precision, gathers: true });
    const { layout } = setting("fp32");
    const weights = initialWeights(layout, 5);
    const [exact, half] = (["fp32", "bf16"] as const).map((precision) => {
      const trainer = new TracedTrainer(setting(precision), freshState(weights, true));
      const loss = trainer.step(drawnBatch(1)).reduce((sum, value) => sum + value);
      const { stats } = trainer.read();
      trainer.dispose();
      // The batch's own, which are a small share of the running ones.
      return { loss, stats: stats.map((value, i) => (value - (1 - normMomentum) * weights.stats[i]!) / normMomentum) };
    }) as [{ loss: number; stats: Float32Array }, { loss: number; stats: Float32Array }];
    const part = (of: Float32Array, name: string) =>
      of.subarray(layout.stats.get(name)!.offset, layout.stats.get(name)!.offset + layout.stats.get(name)!.length);
    const before: { branch: string; terms: number }[] = [];
    let most = 0;
    for (const { name, shape } of layout.slots.values()) {
      if (!name.endsWith(".conv.weight")) continue;
      const [kh, kw, channels] = shape as [number, number, number];
      const branch = /^head\.p\d\.(?:box|cls)/.exec(name)?.[0] ?? "";
      before.push({ branch, terms: kh * kw * channels });
      // All convolutions before this one, as if they were one way; branches of the head are beside each other. Each rounds its
      // weights, its sum, its norm and its activation.
      const sums = before.filter((each) => each.branch === "" || each.branch === branch).map(({ terms }) => terms);
      most = roundingBound("bfloat16", { roundings: 1 + 4 * sums.length, sums });
      const of = (values: Float32Array, leaf: string) => part(values, name.replace("conv.weight", `bn.running_${leaf}`));
      // A mean is as far off as a share of what varies around it. In a variance an error counts twice, and is the mean of at
      // least 8 cells' errors (2 pictures of 2 × 2): 2 / √8 is less than 1.
      const deviation = Math.sqrt(of(exact.stats, "var").reduce((sum, value) => sum + value, 0));
      const mean = Math.hypot(...of(exact.stats, "mean").map((value, i) => value - of(half.stats, "mean")[i]!)) / deviation;
      const variance = distance(of(exact.stats, "var"), of(half.stats, "var"));
      assert.ok(mean <= most && variance <= most, `${name}: the mean is ${mean} off, the variance ${variance}, for ${most}`);
    }
    // A loss is a sum over classes and cells of two pictures, whose errors are independent.
    const cells = 2 * 3 * [8, 16, 32].reduce((sum, stride) => sum + (drawnSide / stride) ** 2, 0);
    assert.ok(Math.abs(half.loss / exact.loss - 1) <= most / Math.sqrt(cells), `loss ${half.loss} for ${exact.loss}`);
    assert.notEqual(half.loss, exact.loss);
  }).timeout(120_000);
};

if (!oneDnnRefusesBfloat16) describe(`steps in bfloat16, by ${withoutOneDnn ? "TensorFlow's own kernels" : "oneDNN's kernels"}`, exactAndNear);

if (!withoutOneDnn)
  describe("steps in bfloat16 where the processor has no AVX-512", () => {
    // There TensorFlow takes its own kernels, which it takes anywhere when it is told to, as it starts.
    it("are held to the same bounds", async () => {
      const env = { TF_ENABLE_ONEDNN_OPTS: "0" };
      const { exitCode, all } = await execa("node_modules/.bin/mocha", [fileURLToPath(import.meta.url)], { cwd: project, env, all: true, reject: false });
      assert.equal(exitCode, 0, all);
      assert.match(all, /by TensorFlow's own kernels/);
    }).timeout(120_000);
  });

describe("bfloat16", () => {
  it("is recommended where the CPU has it, and warned of where it has not", () => {
    const flags = (names: string) => `processor\t: 0\nflags\t\t: fpu ${names} vme\nbugs\t:\n`;
    assert.match(bfloat16Advice(false, flags("avx512_bf16 amx_bf16"))!, /precision bf16 trains about/);
    assert.match(bfloat16Advice(true, flags("avx2"))!, /trains faster with fp32/);
    for (const [chosen, text] of [
      [true, flags("amx_bf16")],
      [true, flags("avx512_bf16")],
      [false, flags("avx512_bf16")],
      [false, flags("avx2")],
      [true, ""],
    ] as const)
      assert.equal(bfloat16Advice(chosen, text), undefined);
  });
});

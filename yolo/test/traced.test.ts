import assert from "node:assert/strict";
import * as tf from "@tensorflow/tfjs-node";
import { seededRandom } from "../src/augment/random.ts";
import { initialWeights, type Layout, layoutOf, type Slot } from "../src/nn/parameters.ts";
import { maxPool5, maxPool5Gradient, toBfloat16, toFloat32 } from "../src/nn/kernels.ts";
import { type Precision, trainingPass } from "../src/nn/train-layers.ts";
import { bfloat16Advice } from "../src/train/bfloat16.ts";
import { EagerTrainer } from "../src/train/eager.ts";
import { frozenPrefixes } from "../src/train/options.ts";
import { stepSetting, type StepOptions } from "../src/train/step.ts";
import { sessionOf, TracedTrainer } from "../src/train/traced.ts";
import { freshState, type HostBatch, stateNames, type Trainer } from "../src/train/trainer.ts";
import { Recorder } from "../src/trace/recorder.ts";
import { DataType, TensorflowGraph, typeAttribute } from "../src/trace/graph.ts";

const config = { size: "n", classes: 3 } as const;
const layout = layoutOf(config);
const side = 64;

function batchOf(seed: number, objects = 16): HostBatch {
  const random = seededRandom(seed);
  const boxes = Array.from({ length: 2 * objects }, () => {
    const [x, y] = [random() * 40, random() * 40];
    return [x, y, x + 8 + random() * 16, y + 8 + random() * 16];
  });
  return {
    images: Uint8Array.from({ length: 2 * side * side * 3 }, () => random() * 256),
    boxes: Float32Array.from(boxes.flat()),
    // Half of them are padding.
    classes: Int32Array.from({ length: 2 * objects }, (_, i) => (i % 2 ? -1 : Math.floor(random() * 3))),
    objects,
  };
}

const rates = (update: number) => ({ learningRate: 2e-4, biasRate: 4e-4, momentum: 0.9, averageDecay: 0.9, update });
const fresh = (gathers = false) => freshState(initialWeights(layout, 5), gathers);

/** How far apart two vectors are, relative to the length of the first. */
function distance(a: Float32Array, b: Float32Array): number {
  const [apart, length] = a.reduce(([d, n], value, i) => [d + (value - b[i]!) ** 2, n + value ** 2], [0, 0] as [number, number]);
  return Math.sqrt(apart / (length + 1e-12));
}

/** Runs both trainers over the same batches; the losses agree step by step, and so does all of the state in the end. */
function agree(eager: Trainer, traced: Trainer, steps: readonly { batch: HostBatch; update?: number }[], tolerance: number): void {
  steps.forEach(({ batch, update }, i) => {
    const [ours, theirs] = [eager, traced].map((trainer) => trainer.step(batch, update === undefined ? undefined : rates(update)));
    ours!.forEach((value, k) => assert.ok(Math.abs(value - theirs![k]!) <= tolerance * Math.abs(value), `step ${i}, loss ${k}: ${value} and ${theirs![k]}`));
  });
  const [a, b] = [eager.read(), traced.read()];
  // The sign of a moment near zero is chance; by length they agree all the same.
  for (const name of stateNames) assert.ok(distance(a[name], b[name]) <= tolerance, `${name}: ${distance(a[name], b[name])}`);
  eager.dispose();
  traced.dispose();
}

function both(options: Partial<StepOptions>) {
  const setting = stepSetting({ config, side, optimizer: "AdamW", weightDecay: 5e-4, ...options });
  return [new EagerTrainer(setting, fresh(setting.gathers)), new TracedTrainer(setting, fresh(setting.gathers))] as const;
}

describe("traced training", () => {
  it("equals eager training over 20 steps, running statistics and averages included (SGD)", () => {
    const steps = Array.from({ length: 20 }, (_, i) => ({ batch: batchOf(i), update: i + 1 }));
    agree(...both({ optimizer: "SGD" }), steps, 5e-3);
  }).timeout(120_000);

  it("equals eager training closely over one step of AdamW, and of a batch with more objects than the first", () => {
    agree(...both({}), [{ batch: batchOf(1), update: 1 }], 1e-4);
    const [eager, traced] = both({ optimizer: "SGD" });
    agree(
      eager,
      traced,
      [1, 2].map((update) => ({ batch: batchOf(update, update * 16), update })),
      1e-3,
    );
  }).timeout(120_000);

  it("gathers the gradients of batches for one update", () => {
    const steps = [{ batch: batchOf(1) }, { batch: batchOf(2) }, { batch: batchOf(3), update: 1 }];
    agree(...both({ gathers: true, optimizer: "SGD" }), steps, 1e-3);
  }).timeout(120_000);

  it("leaves frozen parameters as they are, bit for bit, and learns the others", () => {
    const [eager, traced] = both({ frozen: frozenPrefixes(10) });
    for (const trainer of [eager, traced]) {
      trainer.step(batchOf(1), rates(1));
      const { parameters } = trainer.read();
      for (const { name, offset, length } of layout.slots.values()) {
        const [before, after] = [fresh().parameters, parameters].map((vector) => vector.subarray(offset, offset + length));
        if (name.startsWith("backbone.")) assert.deepEqual(after, before, name);
        else assert.notDeepEqual(after, before, name);
      }
      trainer.dispose();
    }
  }).timeout(120_000);

  it("goes on from a state that was read", () => {
    const setting = stepSetting({ config, side, optimizer: "AdamW", weightDecay: 5e-4 });
    const first = new TracedTrainer(setting, fresh());
    first.step(batchOf(1), rates(1));
    const second = new TracedTrainer(setting, first.read());
    const [ours, theirs] = [first, second].map((trainer) => trainer.step(batchOf(2), rates(2)));
    assert.deepEqual(ours, theirs);
    for (const trainer of [first, second]) trainer.dispose();
  }).timeout(120_000);
});

describe("steps in bfloat16", () => {
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

  type Inputs = Readonly<Record<string, { readonly shape: readonly number[]; readonly values: Float32Array }>>;

  /** What a recorded function makes of float32 inputs. */
  function computed(inputs: Inputs, work: (tensors: Readonly<Record<string, tf.Tensor>>) => tf.Tensor): Float32Array {
    const graph = new TensorflowGraph();
    const recorder = new Recorder(graph);
    const { float32 } = DataType;
    tf.tidy(() => {
      const tensors = Object.entries(inputs).map(
        ([name, { shape }]) => [name, recorder.input(graph.placeholder(name, float32, shape), float32, shape)] as const,
      );
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

  /** The gradient of the few layers' parameters for a picture and the gradient of their output. */
  function gradientOf(precision: Precision): Float32Array {
    const random = seededRandom(9);
    const some = (...shape: number[]) => ({
      shape,
      values: Float32Array.from({ length: shape.reduce((product, size) => product * size) }, () => random() - 0.3),
    });
    return computed({ image: some(2, 32, 32, 3), dy: some(2, 16, 16, 5), parameters: some(total) }, ({ image, dy, parameters }) => {
      const pass = trainingPass(few as unknown as Layout, parameters as tf.Tensor1D, image!, precision);
      const { conv, project, halve, concat, add, upsample } = pass.layers;
      const [left, right] = halve(conv("a", image!, { out: 16, kernel: 3, stride: 2 }));
      const wide = upsample(concat("joined", [add("sum", left, right), right]));
      const narrow = conv("c", conv("b", wide, { out: 32, kernel: 3, stride: 2 }), { out: 32, kernel: 1, stride: 1 });
      pass.tape.give(project("d", narrow, { out: 5, initial: 0 }), dy!);
      pass.tape.backward();
      return pass.gradient();
    });
  }

  // The float32 pass is the measure, which torch's golden numbers hold. A bfloat16 has 8 bits: each number is within 2⁻⁹ of its own.
  it("give the gradients of float32 within a few hundredths, through each kind of layer", () => {
    const [exact, half] = [gradientOf("fp32"), gradientOf("bf16")];
    for (const { name, offset, length } of few.slots.values()) {
      const apart = distance(exact.subarray(offset, offset + length), half.subarray(offset, offset + length));
      // The output's bias alone is computed in float32.
      assert.ok(name === "d.bias" ? apart < 1e-6 : apart > 1e-4 && apart < 0.03, `${name}: ${apart}`);
    }
  });

  it("give max-pool's gradient exactly, where numbers are whole and differ", () => {
    // 0 … 255 in some order, and gradients of 1 … 4: bfloat16 has them all, and the sums of 25 of them.
    const x = { shape: [1, 16, 16, 1], values: Float32Array.from({ length: 256 }, (_, i) => (i * 97) % 256) };
    const dy = { ...x, values: Float32Array.from({ length: 256 }, (_, i) => 1 + (i % 4)) };
    const exact = computed({ x, dy }, (given) => maxPool5Gradient(given["x"]!, maxPool5(given["x"]!), given["dy"]!));
    const half = computed({ x, dy }, (given) => {
      const [wide, gradient] = [toBfloat16(given["x"]!), toBfloat16(given["dy"]!)];
      return toFloat32(maxPool5Gradient(wide, maxPool5(wide), gradient));
    });
    assert.deepEqual(half, exact);
    assert.equal(half.filter((value) => value > 0).length > 8, true);
  });

  it("give the losses and the statistics of float32", () => {
    const [exact, half] = (["fp32", "bf16"] as const).map((precision) => {
      const trainer = both({ precision, gathers: true })[1];
      const parts = trainer.step(batchOf(1));
      const { stats } = trainer.read();
      trainer.dispose();
      return { loss: parts.reduce((sum, value) => sum + value), stats };
    }) as [{ loss: number; stats: Float32Array }, { loss: number; stats: Float32Array }];
    assert.ok(Math.abs(half.loss / exact.loss - 1) < 0.02, `loss ${half.loss} for ${exact.loss}`);
    assert.ok(distance(exact.stats, half.stats) < 2e-3, `running statistics are ${distance(exact.stats, half.stats)} apart`);
  }).timeout(120_000);

  it("are recommended where the CPU has them, and warned of where it has not", () => {
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

describe("the recorder", () => {
  it("refuses a function that reads numbers, and one that uses a tensor from elsewhere", () => {
    const recorder = new Recorder(new TensorflowGraph());
    const outside = tf.tensor1d([1, 2]);
    outside.add(1).dispose();
    tf.tidy(() => {
      const x = recorder.input("x:0", DataType.float32, [2]);
      assert.throws(() => recorder.record(() => tf.add(x, 1).dataSync()), /read a tensor's numbers/);
      assert.throws(() => recorder.record(() => tf.add(x, outside)), /neither an input nor a constant/);
    });
    outside.dispose();
  });
});

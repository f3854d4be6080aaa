import assert from "node:assert/strict";
import * as tf from "@tensorflow/tfjs-node";
import { initialWeights, layoutOf } from "../src/nn/parameters.ts";
import { EagerTrainer } from "../src/train/eager.ts";
import { frozenPrefixes } from "../src/train/options.ts";
import { stepSetting, type StepOptions } from "../src/train/step.ts";
import { TracedTrainer } from "../src/train/traced.ts";
import { freshState, type HostBatch, stateNames, type Trainer } from "../src/train/trainer.ts";
import { Recorder } from "../src/trace/recorder.ts";
import { DataType, TensorflowGraph } from "../src/trace/graph.ts";
import { drawnBatch, side } from "./drawn-batch.ts";
import "./instruction-set.ts";
import { distance } from "./rounding.ts";

const config = { size: "n", classes: 3 } as const;
const layout = layoutOf(config);

const rates = (update: number) => ({ learningRate: 2e-4, biasRate: 4e-4, momentum: 0.9, averageDecay: 0.9, update });
const fresh = (gathers = false) => freshState(initialWeights(layout, 5), gathers);

// How near: eager and traced steps are the same kernels, which may add in another order: 2e-5 by roundingBound of all of yolov8n's
// sums. One step is held to five times that; two or three, and batches that differ in size, to fifty, and 20 to 250: each step
// starts from where the one before ended, in a loss that is not smooth, for an assignment may change. A wrong term is tenths.

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
    const steps = Array.from({ length: 20 }, (_, i) => ({ batch: drawnBatch(i), update: i + 1 }));
    agree(...both({ optimizer: "SGD" }), steps, 5e-3);
  }).timeout(120_000);

  it("equals eager training closely over one step of AdamW, and of a batch with more objects than the first", () => {
    agree(...both({}), [{ batch: drawnBatch(1), update: 1 }], 1e-4);
    const [eager, traced] = both({ optimizer: "SGD" });
    agree(
      eager,
      traced,
      [1, 2].map((update) => ({ batch: drawnBatch(update, update * 16), update })),
      1e-3,
    );
  }).timeout(120_000);

  it("gathers the gradients of batches for one update", () => {
    const steps = [{ batch: drawnBatch(1) }, { batch: drawnBatch(2) }, { batch: drawnBatch(3), update: 1 }];
    agree(...both({ gathers: true, optimizer: "SGD" }), steps, 1e-3);
  }).timeout(120_000);

  it("equals eager training where batches say which classes were asked, also from the second batch on", () => {
    const batch = (seed: number, ...asked: number[]) => ({ ...drawnBatch(seed), asked: Float32Array.from(asked) });
    agree(...both({}), [{ batch: batch(1, 1, 0, 0, 0, 0, 1), update: 1 }], 1e-4);
    const steps = [drawnBatch(1), batch(2, 0, 1, 0, 1, 1, 1)].map((each, i) => ({ batch: each, update: i + 1 }));
    agree(...both({ optimizer: "SGD" }), steps, 1e-3);
    const losses = [drawnBatch(1), batch(1, 1, 0, 0, 0, 0, 1)].map((each) => {
      const trainer = both({})[1];
      const parts = trainer.step(each, rates(1));
      trainer.dispose();
      return parts;
    });
    // Of six classes in two pictures two are left, and the cells of the others' objects.
    assert.ok(losses[1]![1]! < 0.5 * losses[0]![1]!, `${losses[1]![1]} of ${losses[0]![1]}`);
  }).timeout(120_000);

  it("leaves frozen parameters as they are, bit for bit, and learns the others", () => {
    const [eager, traced] = both({ frozen: frozenPrefixes(10) });
    for (const trainer of [eager, traced]) {
      trainer.step(drawnBatch(1), rates(1));
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
    first.step(drawnBatch(1), rates(1));
    const second = new TracedTrainer(setting, first.read());
    const [ours, theirs] = [first, second].map((trainer) => trainer.step(drawnBatch(2), rates(2)));
    assert.deepEqual(ours, theirs);
    for (const trainer of [first, second]) trainer.dispose();
  }).timeout(120_000);
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

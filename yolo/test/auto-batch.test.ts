import assert from "node:assert/strict";
import { automaticBatch, trainingBytes } from "../src/train/auto-batch.ts";

const gib = 2 ** 30;

describe("the automatic batch", () => {
  it("says within a quarter what traced training took on a machine with two cores (bench/train-step.ts)", () => {
    const bytes = (size: "n" | "s", side: number, precision: "fp32" | "bf16") => trainingBytes({ size, classes: 3 }, { side, precision }, 8);
    for (const [said, took] of [
      [bytes("n", 320, "fp32"), 1.04],
      [bytes("n", 640, "fp32"), 2.38],
      [bytes("s", 320, "fp32"), 1.81],
      [bytes("n", 320, "bf16"), 0.84],
      [bytes("n", 640, "bf16"), 1.65],
      [bytes("s", 320, "bf16"), 1.35],
    ] as const)
      assert.ok(Math.abs(said / gib / took - 1) < 0.25, `${said / gib} GiB, measured ${took}`);
  });

  it("grows with the memory and shrinks with the picture and the model, and is at least one", () => {
    const batch = (size: "n" | "x", side: number, memory: number) => automaticBatch({ size, classes: 3 }, { side, precision: "fp32" }, memory * gib);
    assert.ok(batch("n", 320, 8) > batch("n", 640, 8));
    assert.ok(batch("n", 640, 16) > batch("n", 640, 4));
    assert.ok(batch("n", 640, 16) > batch("x", 640, 16));
    assert.equal(batch("x", 640, 0.5), 1);
    assert.equal(batch("n", 32, 1000), 64);
  });
});

import assert from "node:assert/strict";
import { automaticBatch, trainingBytes } from "../src/train/auto-batch.ts";

const gib = 2 ** 30;

describe("the automatic batch", () => {
  it("says within a quarter what traced training took on a machine with two cores (bench/train-step.ts)", () => {
    const measured = { n320x8: 1.1, n640x8: 2.32 };
    const n = { size: "n", classes: 3 } as const;
    for (const [said, took] of [
      [trainingBytes(n, 320, 8), measured.n320x8],
      [trainingBytes(n, 640, 8), measured.n640x8],
    ] as const)
      assert.ok(Math.abs(said / gib / took - 1) < 0.25, `${said / gib} GiB, measured ${took}`);
  });

  it("grows with the memory and shrinks with the picture and the model, and is at least one", () => {
    const batch = (size: "n" | "x", side: number, memory: number) => automaticBatch({ size, classes: 3 }, side, memory * gib);
    assert.ok(batch("n", 320, 8) > batch("n", 640, 8));
    assert.ok(batch("n", 640, 16) > batch("n", 640, 4));
    assert.ok(batch("n", 640, 16) > batch("x", 640, 16));
    assert.equal(batch("x", 640, 0.5), 1);
    assert.equal(batch("n", 32, 1000), 64);
  });
});

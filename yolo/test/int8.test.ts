import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { execa } from "execa";
import fc from "fast-check";
import { InferenceSession, Tensor } from "onnxruntime-node";
import { seededRandom, uniform } from "../src/augment/random.ts";
import { initialWeights, layoutOf } from "../src/nn/parameters.ts";
import { calibrate } from "../src/onnx/calibrate.ts";
import { exportOnnx } from "../src/onnx/export.ts";
import { quantisedWeights } from "../src/onnx/quantise.ts";
import "./instruction-set.ts";
import { distance } from "./rounding.ts";

const config = { size: "n", classes: 3 } as const;
const layout = layoutOf(config);
const side = 64;

/** Weights whose running statistics are not the neutral 0 and 1, so that folding them is put to the test. */
function someWeights() {
  const weights = initialWeights(layout, 7);
  const random = seededRandom(9);
  weights.stats.forEach((_, i) => (weights.stats[i] = uniform(random, 0.5, 1.5)));
  return weights;
}

function somePicture(batch: number): Float32Array {
  const random = seededRandom(21);
  return Float32Array.from({ length: batch * side * side * 3 }, () => random());
}

describe("calibration", () => {
  it("gives each value of the network one range, which holds its numbers on all pictures", () => {
    const weights = someWeights();
    const picture = (level: number) => ({ pixels: new Uint8Array(side * side * 3).fill(level), width: side, height: side, objects: [] });
    const pictures = [picture(0), picture(255)];
    const alone = pictures.map((each) => calibrate(config, layout, weights, [each], side));
    const together = calibrate(config, layout, weights, pictures, side);
    assert.deepEqual([...together.keys()], [...alone[0]!.keys()]);
    // Two for each of the 57 activated convolutions; a sum in each residual block, 6 of them; and 13 concatenations.
    assert.equal(together.size, 2 * 57 + 6 + 13);
    for (const [name, range] of together) {
      const both = alone.map((ranges) => ranges.get(name)!);
      assert.deepEqual(range, [Math.min(...both.map(([low]) => low)), Math.max(...both.map(([, high]) => high))], name);
    }
  }).timeout(60_000);
});

describe("the codes of weights", () => {
  it("are as fine as can be, and no two of a channel overflow 16 bits with any activations (property)", () => {
    const weight = fc.oneof(fc.double({ min: -1, max: 1, noNaN: true }), fc.constantFrom(-1, 0, 1, 1e-12));
    fc.assert(
      fc.property(fc.array(weight, { minLength: 9, maxLength: 60 }), fc.integer({ min: 1, max: 3 }), (list, out) => {
        const per = Math.floor(list.length / out);
        const values = Float32Array.from(list.slice(0, per * out));
        const { codes, scales } = quantisedWeights(values, out);
        for (let channel = 0; channel < out; channel++) {
          const own = [...codes.subarray(channel * per, (channel + 1) * per)].toSorted((p, q) => p - q);
          const pairs = [own[0]! + Math.min(own[1]!, 0), own.at(-1)! + Math.max(own.at(-2)!, 0)] as const;
          // VPMADDUBSW: two products of 8 bits in 16.
          assert.ok(255 * pairs[0] >= -(2 ** 15) && 255 * pairs[1] < 2 ** 15, String(own));
          for (let i = channel * per; i < (channel + 1) * per; i++)
            assert.ok(Math.abs(values[i]! - codes[i]! * scales[channel]!) <= 0.5001 * scales[channel]!, `${values[i]} of ${own}`);
          // As fine: one more step in 127 would be too much, of one or of two.
          if (values.subarray(channel * per, (channel + 1) * per).some((value) => Math.abs(value) > 1e-6))
            assert.ok(Math.max(-own[0]!, own.at(-1)!) === 127 || Math.max(-pairs[0], pairs[1]) >= 126, String(own));
        }
      }),
    );
  });
});

describe("the 8-bit ONNX file", () => {
  it("passes onnx.checker, is a quarter of the size, and gives nearly the same", async () => {
    const folder = await mkdtemp(path.join(tmpdir(), "int8-"));
    try {
      const weights = someWeights();
      // As after training: statistics that fit the pictures keep the values in a range.
      const pixels = Uint8Array.from(somePicture(1), (value) => value * 255);
      const picture = { pixels, width: side, height: side, objects: [] };
      const ranges = calibrate(config, layout, weights, [picture], side);
      const options = { side, labels: ["a", "b", "c"] };
      const [full, small] = [exportOnnx(config, layout, weights, options), exportOnnx(config, layout, weights, { ...options, ranges })];
      assert.ok(small.length < full.length * 0.3, `${small.length} of ${full.length} bytes`);
      await writeFile(path.join(folder, "int8.onnx"), small);
      const python = fileURLToPath(new URL("../../.venv-test/bin/python", import.meta.url));
      await execa(python, ["-c", "import onnx, sys\nonnx.checker.check_model(onnx.load(sys.argv[1]), full_check=True)", path.join(folder, "int8.onnx")]);
      const planes = new Float32Array(3 * side * side).map((_, i) => pixels[(i % (side * side)) * 3 + Math.floor(i / (side * side))]! / 255);
      const run = async (onnx: Uint8Array, graphOptimizationLevel: "disabled" | "all" = "all") => {
        const session = await InferenceSession.create(onnx, { logSeverityLevel: 3, graphOptimizationLevel });
        const { output0 } = await session.run({ images: new Tensor("float32", planes, [1, 3, side, side]) });
        await session.release();
        return output0!.data as Float32Array;
      };
      // Left as it is, the graph computes with its codes' numbers in float32: what the integers have to give, on any processor.
      const [a, b, codes] = [await run(full), await run(small), await run(small, "disabled")];
      assert.ok(distance(a, b) < 0.02, `relative distance ${distance(a, b)}`);
      assert.notDeepEqual(a, b);
      const anchors = a.length / 7;
      for (const [name, from, to] of [
        ["boxes", 0, 4],
        ["scores", 4, 7],
      ] as const) {
        const [exact, integers, floats] = [a, b, codes].map((values) => values.subarray(from * anchors, to * anchors)) as [
          Float32Array,
          Float32Array,
          Float32Array,
        ];
        // Both are the same numbers, but for one that float32 puts on the other side of the middle between two codes: one in a
        // million or so, where the codes move all of them by a quarter of a step. Sums that overflow 16 bits, as on processors
        // without VNNI, moved them by two to three times what the codes do.
        const [apart, cost] = [distance(floats, integers), distance(exact, floats)];
        assert.ok(apart <= cost / 4, `${name}: integers are ${apart} from the same codes in floats, which are ${cost} from the full model`);
      }
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  }).timeout(60_000);
});

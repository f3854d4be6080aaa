import assert from "node:assert/strict";
import fc from "fast-check";
import { transform } from "../../src/groups/window-coefficients.ts";

const whole = { x: 0, y: 0, width: 1, height: 1 };
const near = (actual: number, expected: number) => assert.ok(Math.abs(actual - expected) < 1e-9, `${actual} is not ${expected}`);
const planeOf = (side: number) =>
  fc.array(fc.integer({ min: -255, max: 255 }), { minLength: side * side, maxLength: side * side }).map((values) => Float64Array.from(values));

describe("cosine coefficients of a window", () => {
  it("are the integrals: worked by hand for two columns, one black and one white", () => {
    // ∫ from ½ to 1 of √2 cos(πt) dt = −√2 / π, and of √2 cos(2πt) it is 0.
    const [mean, first, second] = transform(Float64Array.of(0, 1, 0, 1), 2, 3, whole);
    near(mean!, 0.5);
    near(first!, -Math.SQRT2 / Math.PI);
    near(second!, 0);
  });

  it("are the DCT-II's, each times what averaging over a cell leaves of its cosine", () => {
    fc.assert(
      fc.property(planeOf(8), (plane) => {
        const found = transform(plane, 8, 8, whole);
        // The textbook's sum, in its scaling by means.
        const scale = (u: number) => (u === 0 ? 1 : Math.SQRT2);
        const left = (u: number) => (u === 0 ? 1 : Math.sin((Math.PI * u) / 16) / ((Math.PI * u) / 16));
        for (const [v, u] of [
          [0, 0],
          [0, 1],
          [3, 2],
          [7, 7],
        ] as const) {
          let sum = 0;
          for (let y = 0; y < 8; y++)
            for (let x = 0; x < 8; x++) sum += plane[y * 8 + x]! * Math.cos(((2 * x + 1) * u * Math.PI) / 16) * Math.cos(((2 * y + 1) * v * Math.PI) / 16);
          near(found[v * 8 + u]!, (sum / 64) * scale(u) * scale(v) * left(u) * left(v));
        }
      }),
      { numRuns: 30 },
    );
  });

  it("of a window are those of the picture that is cropped to it", () => {
    fc.assert(
      fc.property(planeOf(8), fc.nat(4), fc.nat(4), (plane, left, top) => {
        const cropped = Float64Array.from({ length: 16 }, (_, i) => plane[(top + Math.floor(i / 4)) * 8 + left + (i % 4)]!);
        const found = transform(plane, 8, 3, { x: left / 8, y: top / 8, width: 0.5, height: 0.5 });
        for (const [i, value] of transform(cropped, 4, 3, whole).entries()) near(found[i]!, value);
      }),
      { numRuns: 30 },
    );
  });
});

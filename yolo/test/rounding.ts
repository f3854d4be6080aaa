/**
 * How far apart two computations of the same numbers may be, from the arithmetic alone: the bits of a number, the roundings on
 * the way to a result, and the terms of its sums. Which instructions a processor has decides the order of a sum, and in what
 * its terms are added; so a bound that holds for every order holds on every processor.
 */

/** The largest relative error of one rounding: half of the last of 24 and of 8 bits (IEEE 754 single, bfloat16). */
export const unit = { float32: 2 ** -24, bfloat16: 2 ** -8 } as const;

/** What stands between an operand and a result. */
export interface Way {
  /** Numbers that are rounded one after the other: operands, results, what is kept of them. */
  readonly roundings: number;
  /** Terms of each sum whose running value is rounded too. */
  readonly sums?: readonly number[];
}

/**
 * The relative error, in the length of a vector of many results, that roundings leave (Higham & Mary 2019, "A new approach to
 * probabilistic rounding error analysis": errors that are independent grow by the root of their number).
 *
 * An error is spread over ± unit, so its mean square is unit² / 3. A running sum of n terms of random signs is as long as √i
 * after i of them: its n roundings together are worth n / 2 of the last one (of equal signs: n / 3). Three standard deviations
 * are allowed, which is also room for layers that enlarge an error, as batch norm does where it takes away a mean.
 */
export function roundingBound(precision: keyof typeof unit, { roundings, sums = [] }: Way): number {
  return 3 * (unit[precision] / Math.sqrt(3)) * Math.sqrt(roundings + sums.reduce((all, terms) => all + terms / 2, 0));
}

/** How far apart two vectors are, relative to the length of the first. */
export function distance(a: Float32Array, b: Float32Array): number {
  const [apart, length] = a.reduce(([d, n], value, i) => [d + (value - b[i]!) ** 2, n + value ** 2], [0, 0] as [number, number]);
  return Math.sqrt(apart / (length + 1e-12));
}

/** How many times as long as `a` the part of `b` along it is. */
export function stretch(a: Float32Array, b: Float32Array): number {
  const product = (x: Float32Array, y: Float32Array) => x.reduce((sum, value, i) => sum + value * y[i]!, 0);
  return product(a, b) / product(a, a);
}

const bits = new DataView(new ArrayBuffer(4));

/** The number that a bfloat16's 16 bits stand for: float32's upper half. */
export function bfloatToFloat(value: number): number {
  bits.setUint32(0, value << 16);
  return bits.getFloat32(0);
}

/** The number that the 16 bits of an IEEE 754 half stand for. */
export function halfToFloat(half: number): number {
  const [sign, exponent, fraction] = [half & 0x8000 ? -1 : 1, (half >> 10) & 0x1f, half & 0x3ff];
  if (exponent === 0) return sign * 2 ** -14 * (fraction / 1024);
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * 2 ** (exponent - 15) * (1 + fraction / 1024);
}

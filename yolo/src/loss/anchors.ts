import { strides } from "../nn/model.ts";

/** Centres of all cells of the three levels, P3 first, rows before columns: [anchors, 2] in pixels, and each one's stride. */
export function anchorPoints(height: number, width: number): { centres: Float32Array; stride: Float32Array; count: number } {
  const centres: number[] = [];
  const stride: number[] = [];
  for (const s of strides)
    for (let y = 0; y < height / s; y++)
      for (let x = 0; x < width / s; x++) {
        centres.push((x + 0.5) * s, (y + 0.5) * s);
        stride.push(s);
      }
  return { centres: Float32Array.from(centres), stride: Float32Array.from(stride), count: stride.length };
}

import { seededRandom } from "../src/augment/random.ts";
import type { HostBatch } from "../src/train/trainer.ts";

/** Pixels a side of its pictures. */
export const side = 64;

/** Two pictures of noise, and boxes of three classes: at most `objects` in each. */
export function drawnBatch(seed: number, objects = 16): HostBatch {
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

import type { Edgeable } from "./edges.ts";
import { orderAfter } from "./graph-builder.ts";

/** One after the other; a list stands side by side: chain(a, [b, c], d). */
export function chain(...steps: readonly (Edgeable | readonly Edgeable[])[]): void {
  for (const [i, step] of steps.entries()) if (i > 0) orderAfter([step].flat() as Edgeable[], [steps[i - 1]!].flat() as Edgeable[], chain);
}

/** Every one of `to` after every one of `from`. */
export function cross(from: readonly Edgeable[], to: readonly Edgeable[]): void {
  orderAfter(to, from, cross);
}

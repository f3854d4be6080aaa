import { createHash } from "node:crypto";

/**
 * Where an image's group stands between 0 and 1: the same for ever, whatever other images there are. Images below the share
 * are for training.
 */
export function splitPosition(group: string): number {
  return createHash("sha256").update(`airloom-split:${group}`).digest().readUInt32BE(0) / 2 ** 32;
}

/**
 * The two parts of a data set. Adding images moves none, except that a part that would be empty gets the one image that
 * stands nearest to it.
 */
export function splitBy<T>(items: readonly T[], groupOf: (item: T) => string, share: number): { train: T[]; validation: T[] } {
  const placed = items.map((item) => ({ item, at: splitPosition(groupOf(item)) })).toSorted((a, b) => a.at - b.at);
  const below = placed.filter(({ at }) => at < share).length;
  const cut = items.length < 2 ? below : Math.min(items.length - 1, Math.max(1, below));
  const part = placed.map(({ item }) => item);
  return { train: part.slice(0, cut), validation: part.slice(cut) };
}

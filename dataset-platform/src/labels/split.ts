import { createHash } from "node:crypto";

/** Where a picture is used: to learn, to measure while learning, or to measure once at the end. */
export type Side = "train" | "validation" | "test";

/** Shares of the groups of pictures; what is neither for training nor for the test is for validation. */
export interface Shares {
  readonly train: number;
  readonly test: number;
}

/** Pictures of fewer groups than parts: a group is never split, since its pictures are too much alike. */
export class TooFewGroups extends Error {
  override readonly name = "TooFewGroups";
}

/** Where a group of pictures stands between 0 and 1: the same for ever, whatever other pictures there are. */
export function splitPosition(group: string): number {
  return createHash("sha256").update(`airloom-split:${group}`).digest().readUInt32BE(0) / 2 ** 32;
}

interface Placed {
  readonly group: string;
  readonly at: number;
}

/** Groups at the edges of a side that are remembered: enough to give one to each of two empty sides and keep one. */
const remembered = 3;

/**
 * Tells on which side each group of pictures stands: below the share for training, from the end for the test, and else
 * validation. Groups that are added move none, except that a side that would be empty gets the group that stands nearest to
 * it. Takes the groups one by one, and keeps a few of them only.
 */
export class SplitPlan {
  readonly #shares: Shares;
  readonly #edges = new Map<Side, { low: Placed[]; high: Placed[] }>();

  constructor(shares: Shares) {
    const { train, test } = shares;
    if (!(train > 0 && test >= 0 && train + test < 1))
      throw new RangeError(
        `the split must leave a part for validation: ${train} for training and ${test} for the test are not both within 0 and 1, with less than 1 together`,
      );
    this.#shares = shares;
  }

  /** Takes note of a group; one that was noted before changes nothing. */
  add(group: string): void {
    const placed = { group, at: splitPosition(group) };
    const side = this.#sideAt(placed.at);
    const edges = this.#edges.get(side) ?? { low: [], high: [] };
    this.#edges.set(side, edges);
    keep(edges.low, placed, (a, b) => a.at - b.at);
    keep(edges.high, placed, (a, b) => b.at - a.at);
  }

  /** The side of each group that was added; refuses where there are fewer groups than sides. */
  sides(): (group: string) => Side {
    const wanted: Side[] = this.#shares.test > 0 ? ["train", "validation", "test"] : ["train", "validation"];
    const sideOf = new Map<Placed, Side>();
    for (const [side, { low, high }] of this.#edges) for (const placed of distinct([...low, ...high])) sideOf.set(placed, side);
    if (sideOf.size < wanted.length)
      throw new TooFewGroups(
        `the pictures are of ${sideOf.size} ${sideOf.size === 1 ? "group" : "groups"} (a recording, or pictures that look alike), and ${wanted.length} are needed so that ${wanted.join(", ")} share none: label pictures of other recordings too`,
      );
    const moved = new Map<string, Side>();
    const groupsOn = (side: Side) => [...sideOf].filter(([, each]) => each === side).length;
    for (const side of wanted) {
      if (groupsOn(side) > 0) continue;
      const givers = [...sideOf].filter(([, from]) => groupsOn(from) > 1).map(([placed]) => placed);
      const nearest = givers.toSorted((a, b) => this.#distance(a.at, side) - this.#distance(b.at, side))[0]!;
      sideOf.set(nearest, side);
      moved.set(nearest.group, side);
    }
    return (group) => moved.get(group) ?? this.#sideAt(splitPosition(group));
  }

  #sideAt(at: number): Side {
    if (at < this.#shares.train) return "train";
    return at >= 1 - this.#shares.test ? "test" : "validation";
  }

  #distance(at: number, side: Side): number {
    const { train, test } = this.#shares;
    const [from, to] = { train: [0, train] as const, validation: [train, 1 - test] as const, test: [1 - test, 1] as const }[side];
    return Math.max(0, from - at, at - to);
  }
}

/** Keeps the first few of what it is given, without doubles. */
function keep(list: Placed[], placed: Placed, order: (a: Placed, b: Placed) => number): void {
  if (list.some(({ group }) => group === placed.group)) return;
  if (list.length === remembered && order(placed, list.at(-1)!) > 0) return;
  list.push(placed);
  list.sort(order);
  list.splice(remembered);
}

const distinct = (placed: readonly Placed[]): Placed[] => [...new Map(placed.map((each) => [each.group, each])).values()];

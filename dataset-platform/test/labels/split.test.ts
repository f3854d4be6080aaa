import assert from "node:assert/strict";
import fc from "fast-check";
import { type Shares, type Side, SplitPlan, splitPosition, TooFewGroups } from "@airloom/dataset-platform/labels/split.ts";

/** A plan of all groups. */
function plan(groups: readonly string[], shares: Shares): (group: string) => Side {
  const split = new SplitPlan(shares);
  for (const group of groups) split.add(group);
  return split.sides();
}

describe("the split", () => {
  it("puts a group where SHA-256 says, for ever", () => {
    // printf 'airloom-split:NAME' | sha256sum | cut -c1-8, as a share of 2^32 (Python: int(digest[:8], 16) / 2**32).
    const golden: [string, number][] = [
      ["", 0.8963543220888823],
      ["a", 0.37084564846009016],
      ["0000000000000000000000000000000000000000000000000000000000000000", 0.8935129372403026],
      ["ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", 0.5763966753147542],
      ["Straße 車", 0.2981439440045506],
    ];
    for (const [group, position] of golden) assert.equal(splitPosition(group), position);
  });

  const names = fc.uniqueArray(fc.string({ minLength: 1 }), { minLength: 3, maxLength: 60 });
  const shares = fc.record({ train: fc.integer({ min: 5, max: 60 }).map((n) => n / 100), test: fc.constantFrom(0, 0.05, 0.3) });

  it("leaves no side empty, and moves a group only to fill one (property)", () => {
    fc.assert(
      fc.property(names, shares, (groups, { train, test }) => {
        const sideOf = plan(groups, { train, test });
        const own = (group: string): Side => (splitPosition(group) < train ? "train" : splitPosition(group) >= 1 - test ? "test" : "validation");
        const wanted: Side[] = test > 0 ? ["train", "validation", "test"] : ["train", "validation"];
        for (const side of wanted) assert.ok(groups.some((group) => sideOf(group) === side));
        const empty = wanted.filter((side) => !groups.some((group) => own(group) === side));
        const moved = groups.filter((group) => sideOf(group) !== own(group));
        assert.equal(moved.length, empty.length);
        for (const group of moved) assert.ok(empty.includes(sideOf(group)));
      }),
    );
  });

  it("moves no group when others are added (property)", () => {
    fc.assert(
      fc.property(names, names, shares, (groups, more, { train, test }) => {
        const full = (list: readonly string[]) =>
          new Set(list.map((group) => (splitPosition(group) < train ? 0 : splitPosition(group) >= 1 - test ? 2 : 1))).size === (test > 0 ? 3 : 2);
        fc.pre(full(groups));
        const before = plan(groups, { train, test });
        const after = plan([...groups, ...more], { train, test });
        for (const group of groups) assert.equal(after(group), before(group));
      }),
    );
  });

  it("gives a side that would be empty the group that stands nearest to it", () => {
    const groups = ["a", "b", "c", "d", "e", "f"].toSorted((a, b) => splitPosition(a) - splitPosition(b));
    const above = plan(groups, { train: splitPosition(groups.at(-1)!) + 0.0001, test: 0 });
    assert.deepEqual(
      groups.filter((group) => above(group) === "validation"),
      [groups.at(-1)],
    );
    const below = plan(groups, { train: splitPosition(groups[0]!) / 2, test: 0 });
    assert.deepEqual(
      groups.filter((group) => below(group) === "train"),
      [groups[0]],
    );
  });

  it("never splits a group, and says so where there are too few", () => {
    assert.throws(
      () => plan(["one", "one", "one"], { train: 0.8, test: 0 }),
      (error) => error instanceof TooFewGroups && /of 1 group .*2 are needed/.test(error.message),
    );
    assert.throws(() => plan(["one", "two"], { train: 0.6, test: 0.2 }), TooFewGroups);
  });

  it("refuses shares that leave nothing to validate with", () => {
    for (const bad of [
      { train: 0, test: 0 },
      { train: 1, test: 0 },
      { train: 0.8, test: 0.2 },
      { train: Number.NaN, test: 0 },
      { train: 0.5, test: -0.1 },
    ])
      assert.throws(() => new SplitPlan(bad), RangeError);
  });
});

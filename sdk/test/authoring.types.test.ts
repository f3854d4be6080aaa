import assert from "node:assert/strict";
import { dag, notYet, sensor, type Ref, task, template } from "airloom";

// What must not compile. `tsc` is the test: each @ts-expect-error without an error is an error of its own.
const ingest = task("ingest", { timeout: "1h" }, async (input: { source: string; size: number }) => ({ id: input.source, images: [input.size] }));
const sum = task("sum", {}, async (input: { values: readonly number[]; mode: "fast" | "slow"; note?: string }) => input.values.length);
const wait = sensor("wait", {}, async (input: { id: string }) => (input.id ? { found: input.id } : notYet("no")));

interface Conf {
  source: string;
  size: number;
}

/** Never called: only its types count. */
export function refused(): void {
  dag<Conf>("d", { schedule: null }, ({ conf }) => {
    const batch = ingest({ source: conf.source, size: conf.size });
    const found: Ref<string> = wait({ id: batch.id }).found;
    sum({ values: batch.images, mode: "fast" }, { after: [batch, wait({ id: found })] });
    sum({ values: [1, conf.size], mode: "slow" });
    void template`batch ${batch.id} of ${conf.size}`;
    // @ts-expect-error a number where text is wanted
    ingest({ source: conf.size, size: 3 });
    // @ts-expect-error an input is missing
    ingest({ source: "a" });
    // @ts-expect-error no such input
    ingest({ source: "a", size: 1, other: true });
    // @ts-expect-error not one of the values
    sum({ values: [], mode: "medium" });
    // @ts-expect-error a list of texts where numbers are wanted
    sum({ values: [batch.id], mode: "fast" });
    // @ts-expect-error no such property of the result
    void batch.nope;
    // @ts-expect-error no such key of the conf
    void conf.nope;
    // @ts-expect-error an object in a template
    void template`${batch}`;
    // @ts-expect-error no trigger rule
    ingest({ source: "a", size: 1 }, { triggerRule: "sometimes" });
  });
  // @ts-expect-error a Date is not JSON
  task("t", {}, async () => ({ when: new Date() }));
  // @ts-expect-error a Map is not JSON
  task("t", {}, async () => new Map<string, string>());
  // @ts-expect-error a function is not JSON
  task("t", {}, async () => ({ f: () => 1 }));
  // @ts-expect-error no duration
  task("t", { timeout: "1 hour" }, async () => 1);
}

describe("the authoring types", () => {
  it("refuse what cannot run: `tsc` checks this file", () => assert.equal(typeof refused, "function"));
});

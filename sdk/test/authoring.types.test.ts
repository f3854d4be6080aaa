import assert from "node:assert/strict";
import {
  allOf,
  asset,
  assetAlias,
  branch,
  chain,
  cron,
  dag,
  each,
  every,
  mapGroup,
  notYet,
  type Ref,
  sensor,
  shortCircuit,
  task,
  template,
  zip,
} from "airloom";
import { BashOperator, TriggerDagRunOperator } from "airloom/operators/standard.ts";

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

const hash = task("hash", {}, async (input: { file: string; algorithm: "md5" | "sha256" }) => input.file.length);
const pick = branch("pick", {}, async (input: { n: number }) => (input.n > 1 ? "big" : "small"));
const enough = shortCircuit("enough", {}, async (input: { n: number }) => input.n > 1);

/** Never called: only its types count. */
export function refusedMappings(): void {
  dag<Conf>("d", { schedule: null }, ({ conf, run }) => {
    const batch = ingest({ source: conf.source, size: conf.size });
    const hashes: Ref<readonly number[]> = hash.expand({ file: ["a"] }, { algorithm: "md5" });
    const sizes: Ref<readonly number[]> = hash.partial({ algorithm: "md5" }).expand({ file: ["a"] });
    hash.expand(zip({ file: ["a"], algorithm: ["md5"] }));
    hash.expand(each([{ file: "a" }]), { algorithm: "md5" });
    sum({ values: hashes, mode: "fast" }, { after: [sizes, enough({ n: 1 })] });
    // @ts-expect-error not a list
    hash.expand({ file: batch.id }, { algorithm: "md5" });
    // @ts-expect-error a list of numbers where text is wanted
    hash.expand({ file: batch.images }, { algorithm: "md5" });
    // @ts-expect-error what stays the same is missing
    hash.expand({ file: ["a"] });
    // @ts-expect-error no such input to map over
    hash.expand({ nope: ["a"] }, { algorithm: "md5" });
    // @ts-expect-error lists of the wrong kind side by side
    hash.expand(zip({ file: [1], algorithm: ["md5"] }));
    // @ts-expect-error a mapped result is a list, not one of its elements
    ingest({ source: "a", size: hashes });
    // @ts-expect-error an arm is missing
    pick({ n: 1 }, { big: () => batch });
    const arms = pick({ n: 1 }, { big: () => ingest({ source: "b", size: 1 }, { id: "b" }), small: null });
    sum({ values: [], mode: "fast", note: arms.big.id });
    // @ts-expect-error the arm may not have been taken, and this input is needed
    wait({ id: arms.big.id });
    // @ts-expect-error an arm without tasks has no result
    wait({ id: arms.small.id });
    const group = mapGroup("g", [{ file: "a" }], (item) => hash({ file: item.file, algorithm: "md5" }));
    sum({ values: group.result, mode: "fast" });
    // @ts-expect-error outside the group its results are lists
    ingest({ source: "a", size: group.result });
    // @ts-expect-error no such value of the run
    void run.nope;
    // @ts-expect-error text is no task
    chain(batch, "b");
    BashOperator("b", { bash_command: "true", env: { NAME: conf.source } });
    // @ts-expect-error no such argument of the operator
    BashOperator("b", { bash_command: "true", nope: 1 });
    // @ts-expect-error an argument is missing
    TriggerDagRunOperator("t", {});
    // @ts-expect-error this argument is not rendered, so it takes no reference
    TriggerDagRunOperator("t", { trigger_dag_id: "x", poke_interval: conf.size });
  });
  // @ts-expect-error four fields are no cron expression
  dag("d", { schedule: "0 6 * *" }, () => undefined);
  // @ts-expect-error no preset
  dag("d", { schedule: "@sometimes" }, () => undefined);
  // @ts-expect-error no timezone
  cron("0 6 * * *", { timezone: "Berlin" });
  // @ts-expect-error no duration
  every("15 minutes");
  // @ts-expect-error text is no asset
  allOf(asset("a"), "b");
  // @ts-expect-error undefined in an array is lost in JSON
  task("t", {}, async () => [1, undefined]);
  // @ts-expect-error a bigint is not JSON
  task("t", {}, async () => ({ deep: { n: 1n } }));
  // @ts-expect-error an input that is a Date is not JSON
  task("t", {}, async (input: { when: Date }) => input.when.getTime());
  task("t", {}, async (_: object, { emit }) => {
    await emit(asset("a"), { rows: 1 });
    // @ts-expect-error an alias needs the asset that was made
    await emit(assetAlias("x"), { rows: 1 });
  });
}

describe("the authoring types", () => {
  it("refuse what cannot run: `tsc` checks this file", () => assert.deepEqual([typeof refused, typeof refusedMappings], ["function", "function"]));
});

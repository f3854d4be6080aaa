import { branch, dag, task } from "airloom";

const count = task("count", {}, async () => 12);
const size = branch("size", {}, async (input: { n: number }) => (input.n > 10 ? (["big", "log"] as const) : "small"));
const bigLoad = task("big_load", {}, async () => ({ rows: 12 }));
const smallLoad = task("small_load", {}, async () => ({ rows: 1 }));
const note = task("note", {}, async () => null);
const sum = task("sum", {}, async (input: { big?: number; small?: number }) => (input.big ?? 0) + (input.small ?? 0));

export default dag("branch", { schedule: null }, () => {
  const arms = size({ n: count({}) }, { big: () => bigLoad({}), small: () => smallLoad({}), log: () => note({}) });
  sum({ big: arms.big.rows, small: arms.small.rows }, { triggerRule: "none_failed_min_one_success" });
});

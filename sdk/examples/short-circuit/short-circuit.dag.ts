import { dag, shortCircuit, task } from "airloom";
import { LatestOnlyOperator } from "airloom/operators/standard.ts";

const count = task("count", {}, async () => 0);
const isEnough = shortCircuit("is_enough", {}, async (input: { n: number }) => input.n > 0);
const isWorkday = shortCircuit("is_workday", { respectTriggerRules: true }, async () => true);
const work = task("work", {}, async () => 1);

export default dag("short_circuit", { schedule: null }, () => {
  const enough = isEnough({ n: count({}) });
  work({}, { after: [enough, isWorkday({}), LatestOnlyOperator("latest_only", {})] });
});

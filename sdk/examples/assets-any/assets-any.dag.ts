import { anyOf, asset, dag, task } from "airloom";

const report = task("report", {}, async () => 1);

export default dag("assets_any", { schedule: anyOf(asset("orders"), asset("refunds")), startDate: "2026-01-01" }, () => {
  report({});
});

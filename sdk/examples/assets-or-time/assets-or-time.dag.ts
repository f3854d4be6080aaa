import { asset, assetsOrTime, cron, dag, task } from "airloom";

const report = task("report", {}, async () => 1);

export default dag("assets_or_time", { schedule: assetsOrTime(asset("orders"), cron("0 6 * * *")), startDate: "2026-01-01" }, () => {
  report({});
});

import { cron, dag, task } from "airloom";

const report = task("report", {}, async () => 1);

export default dag("schedule_interval", { schedule: cron("0 6 * * *", { timezone: "Asia/Tokyo", interval: true }), startDate: "2026-01-01" }, () => {
  report({});
});

import { cron, dag, task } from "airloom";

const report = task("report", {}, async () => 1);

export default dag("schedule_timezone", { schedule: cron("0 6 * * mon-fri", { timezone: "Europe/Berlin" }), startDate: "2026-01-01" }, () => {
  report({});
});

import { dag, task } from "airloom";

const report = task("report", {}, async () => 1);

export default dag("schedule_cron", { schedule: "30 2 * * mon-fri", startDate: "2026-01-01", catchup: true }, () => {
  report({});
});

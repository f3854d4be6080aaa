import { cron, dag, task } from "airloom";

const report = task("report", {}, async () => 1);

/** At half past nine on workdays, and at noon on Sundays. */
export default dag(
  "schedule_several_crons",
  { schedule: cron(["30 9 * * mon-fri", "0 12 * * sun"], { timezone: "America/New_York" }), startDate: "2026-01-01" },
  () => {
    report({});
  },
);

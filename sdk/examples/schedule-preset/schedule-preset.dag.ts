import { dag, task } from "airloom";

const report = task("report", {}, async () => 1);

export default dag("schedule_preset", { schedule: "@daily", startDate: "2026-01-01" }, () => {
  report({});
});

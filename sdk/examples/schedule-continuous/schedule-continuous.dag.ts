import { dag, task } from "airloom";

const poll = task("poll", {}, async () => 1);

export default dag("schedule_continuous", { schedule: "@continuous", startDate: "2026-01-01", maxActiveRuns: 1 }, () => {
  poll({});
});

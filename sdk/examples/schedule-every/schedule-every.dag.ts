import { dag, every, task } from "airloom";

const poll = task("poll", {}, async () => 1);

export default dag("schedule_every", { schedule: every("15m"), startDate: "2026-01-01" }, () => {
  poll({});
});

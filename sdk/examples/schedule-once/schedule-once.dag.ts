import { dag, task } from "airloom";

const seed = task("seed", {}, async () => 1);

export default dag("schedule_once", { schedule: "@once", startDate: "2026-01-01" }, () => {
  seed({});
});

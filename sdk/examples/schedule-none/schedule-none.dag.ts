import { dag, task } from "airloom";

const now = task("now", {}, async () => 1);

export default dag("schedule_none", { schedule: null }, () => {
  now({});
});

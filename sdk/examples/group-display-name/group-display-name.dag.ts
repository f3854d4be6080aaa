import { dag, group, task } from "airloom";

const step = task("step", {}, async () => 1);

export default dag("group_display_name", { schedule: null }, () => {
  group("checks", { displayName: "All checks ✓" }, () => step({}));
});

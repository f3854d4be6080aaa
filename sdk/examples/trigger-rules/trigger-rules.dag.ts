import { dag, task } from "airloom";

const work = task("work", {}, async () => 1);
const after = task("after", {}, async () => 1);

export default dag("trigger_rules", { schedule: null }, () => {
  const done = work({});
  after({}, { id: "if_all_failed", after: done, triggerRule: "all_failed" });
  after({}, { id: "if_all_done", after: done, triggerRule: "all_done" });
  after({}, { id: "if_all_skipped", after: done, triggerRule: "all_skipped" });
  after({}, { id: "if_one_succeeded", after: done, triggerRule: "one_success" });
  after({}, { id: "if_one_failed", after: done, triggerRule: "one_failed" });
  after({}, { id: "if_one_done", after: done, triggerRule: "one_done" });
  after({}, { id: "if_none_failed", after: done, triggerRule: "none_failed" });
  after({}, { id: "if_some_succeeded", after: done, triggerRule: "none_failed_min_one_success" });
  after({}, { id: "if_none_skipped", after: done, triggerRule: "none_skipped" });
  after({}, { id: "whatever", after: done, triggerRule: "always" });
});

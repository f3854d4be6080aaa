import { dag, task } from "airloom";

const one = task("one", {}, async () => 1);

export default dag("wrong_fast", { schedule: null, failFast: true }, () => {
  one({}, { id: "b", after: one({}, { id: "a" }), triggerRule: "one_failed" });
});

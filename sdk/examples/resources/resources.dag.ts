import { dag, task } from "airloom";

const work = task(
  "work",
  {
    pool: "gpu",
    poolSlots: 2,
    priorityWeight: 7,
    weightRule: "absolute",
    queue: "big",
    executorConfig: { memory: "4Gi" },
    maxActivePerDag: 3,
    maxActivePerRun: 2,
    dependsOnPast: true,
    waitForDownstream: true,
  },
  async () => 1,
);

export default dag("resources", { schedule: null }, () => {
  work({});
});

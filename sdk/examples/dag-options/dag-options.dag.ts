import { dag, task } from "airloom";

const work = task("work", {}, async () => 1);

/** Shows every option of a DAG. The first sentence is its description. */
export default dag(
  "dag_options",
  {
    schedule: "@hourly",
    startDate: "2026-01-01",
    endDate: "2026-12-31",
    catchup: true,
    maxActiveRuns: 2,
    maxActiveTasks: 4,
    maxConsecutiveFailedRuns: 3,
    runTimeout: "2h",
    pausedOnCreation: true,
    failFast: true,
    tags: ["example", "options"],
    displayName: "DAG options ☕",
  },
  () => {
    work({});
  },
);

import { dag, task } from "airloom";

const describe = task("describe", {}, async (input: { from: string | null }, { run }) => {
  return { id: run.runId, day: run.logicalDate, from: input.from, until: run.dataIntervalEnd, attempt: run.tryNumber, conf: run.conf };
});

export default dag("context", { schedule: "@daily", startDate: "2026-01-01" }, ({ run }) => {
  describe({ from: run.dataIntervalStart });
});

import { chain, dag, group, task } from "airloom";

const step = task("step", {}, async () => 1);

export default dag("groups", { schedule: null }, () => {
  const start = step({}, { id: "start" });
  const load = group("load", { tooltip: "Brings everything in", defaults: { retries: 3, pool: "small" } }, () => {
    const rows = step({}, { id: "rows" });
    group("check", {}, () => {
      step({}, { id: "types", after: rows });
      step({}, { id: "ranges", after: rows });
    });
    return rows;
  });
  const report = group("report", { prefix: false }, () => step({}, { id: "write_report" }));
  chain(start, load, report);
});

import { dag, task } from "airloom";

const startCluster = task("start_cluster", {}, async () => ({ id: "c1" }));
const work = task("work", {}, async (input: { cluster: string }) => input.cluster.length);
const stopCluster = task("stop_cluster", {}, async (input: { cluster: string }) => input.cluster);

export default dag("setup_teardown", { schedule: null }, () => {
  const cluster = startCluster({}, { setup: true });
  const done = work({ cluster: cluster.id });
  stopCluster({ cluster: cluster.id }, { teardown: cluster, failRun: true, after: done });
});

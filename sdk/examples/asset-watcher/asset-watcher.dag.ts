import { asset, dag, task, trigger } from "airloom";

const inbox = asset("inbox", {
  watchers: { file: trigger("airflow.providers.standard.triggers.file.FileDeleteTrigger", { filepath: "/data/inbox/ready" }) },
});

const take = task("take", {}, async () => 1);

export default dag("asset_watcher", { schedule: [inbox], startDate: "2026-01-01" }, () => {
  take({});
});

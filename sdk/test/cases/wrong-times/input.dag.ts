import { asset, assetsOrTime, cron, dag, task } from "airloom";

const one = task("one", {}, async () => 1);

export default dag(
  "wrong_times",
  {
    schedule: assetsOrTime(asset("ünknown"), cron("0 25 * * *", { timezone: "Europe/Nowhere" })),
    startDate: "2026-02-30",
    endDate: "2026-01-01",
    tags: [""],
  },
  () => void one({}),
);

import { dag, task } from "airloom";

const work = task("work", {}, async () => 1);
const careful = task("careful", { retries: 5 }, async () => 2);

export default dag(
  "defaults",
  {
    schedule: null,
    defaults: { retries: 2, retryDelay: "1m", owner: "data-team", queue: "gpu", timeout: "10m" },
    ownerLinks: { "data-team": "https://example.org/data-team" },
    accessControl: { Viewer: { DAGs: ["can_read"] } },
  },
  () => {
    careful({}, { after: work({}) });
  },
);

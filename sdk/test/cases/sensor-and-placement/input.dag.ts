import { dag, notYet, sensor, task } from "airloom";

const wait = sensor("wait-for.it", { pokeInterval: "90s", timeout: "2h" }, async (input: { n: number }) => (input.n > 0 ? { done: true } : notYet("no")));
const end = task("end", { pool: "small" }, async () => null);

export default dag("sensors", { schedule: null, maxActiveRuns: 1 }, () => {
  const first = wait({ n: 1 });
  const second = wait({ n: 2 }, { id: "class" });
  end({}, { after: [first, second], triggerRule: "all_done", retries: 0 });
});

import { branch, dag, jinja, mapGroup, task } from "airloom";

const pick = branch("pick", {}, async (input: { n: number }) => (input.n > 1 ? "big" : "small"));
const one = task("one", {}, async (input: { n?: number }) => input.n ?? 0);
const text = task("text", {}, async (input: { t: string }) => input.t);
const list = task("list", {}, async () => [1]);

export default dag<{ /** @default 1 */ n: number }>("wrong_flow", { schedule: null }, ({ conf }) => {
  const arms = pick({ n: conf.n }, { big: () => one({ n: 1 }, { id: "big" }), small: () => one({ n: 2 }, { id: "small" }) });
  one({}, { id: "join", after: [arms.big, arms.small] });
  one({}, { id: "meant", after: [arms.big, arms.small], triggerRule: "all_success" });
  const setup = one({}, { id: "set_up", setup: true });
  one({}, { id: "after_setup", after: setup, triggerRule: "all_done" });
  one.expand({ n: Array.from({ length: 2000 }, (_, i) => i) }, {}, { id: "too_many" });
  one.expand({ n: [1] }, {}, { id: "unnamed", instanceName: "nope" });
  mapGroup("g", list({}), (n) => {
    one({ n }, { id: "always", triggerRule: "always" });
    one.expand({ n: [1, 2] }, {}, { id: "twice" });
  });
  text({ t: jinja("{{ ds }}") }, { transport: "coordinator" });
});

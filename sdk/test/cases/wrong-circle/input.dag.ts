import { chain, dag, group, task } from "airloom";

const one = task("one", {}, async () => 1);

export default dag("wrong_circle", { schedule: "@continuous", startDate: "2026-01-01" }, () => {
  const [a, b] = [one({}, { id: "a" }), one({}, { id: "b" })] as const;
  chain(a, b, a);
  const g = group("g", {}, () => one({}, { id: "c" }));
  chain(g.result, g);
});

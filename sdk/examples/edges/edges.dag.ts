import { chain, cross, dag, label, task } from "airloom";

const step = task("step", {}, async (input: { n: number }) => input.n);

export default dag("edges", { schedule: null }, () => {
  const at = (n: number) => step({ n }, { id: `step_${n}` });
  const [a, b, c, d, e, f, g] = [at(1), at(2), at(3), at(4), at(5), at(6), at(7)] as const;
  chain(a, [b, c], d);
  cross([d, e], [f, g]);
  step({ n: 8 }, { id: "last", after: [label("when all is well", f), g] });
});

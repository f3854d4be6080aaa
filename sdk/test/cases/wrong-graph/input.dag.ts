import { dag, task } from "airloom";

const take = task("take", {}, async (input: { n: number }) => input.n);

export default dag("wrong graph!", { schedule: null }, () => {
  take({ n: 1 });
  take({ n: 2 });
  take({ n: Number.NaN }, { id: "third" });
  take({ n: 3 }, { id: "spaced id" });
});

import { dag, task } from "airloom";

const take = task("take", {}, async (input: { n: number }) => input.n);

export default dag("throws", { schedule: null }, () => {
  take({ n: 1 });
  throw new Error("not today");
});

import { dag, task, template } from "airloom";

const find = task("find", { retries: 3, retryDelay: "2m", timeout: "1h" }, async (input: { where: string }) => ({
  id: input.where,
  items: [{ name: "a", size: 1 }],
}));
const use = task("use", {}, async (input: { name: string; all: readonly { name: string; size: number }[]; text: string }) => input.all.length);

export default dag("results", { schedule: "30 2 * * mon-fri", startDate: "2026-01-31", retries: 1 }, () => {
  const found = find({ where: "here" });
  use({ name: found.items.at(0).name, all: found.items, text: template`${found.id}: {{ not jinja }} "quoted" ${found.items.at(0).size}` });
});

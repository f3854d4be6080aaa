import { container, dag, pod, task } from "airloom";

const prepare = task("prepare", {}, async () => ({ version: "v1" }));
const train = task(
  "train",
  { runIn: container("company/pipelines:1.4", { args: { network_mode: "bridge" } }), retries: 2 },
  async (input: { version: string }) => ({
    model: `of ${input.version}`,
  }),
);
const evaluate = task(
  "evaluate",
  { runIn: pod("company/pipelines:1.4", { args: { namespace: "ml", name: "evaluate" } }) },
  async (input: { model: string }) => input.model.length,
);

export default dag("images", { schedule: null }, () => {
  const model = train({ version: prepare({}).version });
  evaluate({ model: model.model });
});

import { dag, jinja, task, template } from "airloom";

const find = task("find", {}, async () => ({ id: "b7", count: 3 }));
const say = task("say", { params: { prefix: "out" } }, async (input: { path: string; text: string; day: string | null }) => input.path);

export default dag<{ /** @default "eu" */ region: string }>("task_params_and_templates", { schedule: null }, ({ conf, run }) => {
  const found = find({});
  say({ path: jinja("{{ params.prefix }}/{{ run_id }}"), text: template`${found.count} of batch ${found.id} in ${conf.region}`, day: run.ds });
});

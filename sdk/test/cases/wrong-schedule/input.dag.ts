import { dag, task } from "airloom";

export interface Conf {
  needed: string;
}

const take = task("take", {}, async (input: { name: string }) => input.name);

export default dag<Conf>("wrong_schedule", { schedule: "61 * * *" }, ({ conf }) => {
  take({ name: conf.needed });
});

import { dag, task } from "airloom";

export interface Conf {
  /** @default manual */
  name: string;
  /** @default 0 @minimum 1 */
  count: number;
  when: Date;
}

const take = task("take", {}, async (input: { name: string }) => input.name);

export default dag<Conf>("wrong_types", { schedule: null }, ({ conf }) => {
  take({ name: conf.count });
});

import { dag, task } from "airloom";

export interface Conf {
  /** A name. @default "x \"y\" \\ ü 😀" */
  name: string;
  /** @default 3 @minimum 1 @maximum 9 @asType integer */
  count: number;
  /** Which way. @default "left" */
  way: "left" | "right";
  /** @default ["a"] @minItems 1 */
  labels: string[];
  /** Not needed. */
  note?: string;
  /** Must be given. */
  needed: boolean;
}

/** Says what it was given. */
const say = task("say", {}, async (input: { name: string; rest: { count: number; way: "left" | "right" } }, { log }) => {
  log.info(`${input.name} ${input.rest.way}`);
});

/** Has params of every kind. And a second sentence. */
export default dag<Conf>("typed_conf", { schedule: null, tags: ["one", "two"] }, ({ conf }) => {
  say({ name: conf.name, rest: { count: conf.count, way: conf.way } });
});

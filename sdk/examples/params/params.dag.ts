import { dag, task } from "airloom";

export interface Conf {
  /** What to greet. @default "world" @minLength 1 @maxLength 40 @title Name */
  name: string;
  /** @default 3 @minimum 1 @maximum 10 @asType integer */
  times: number;
  /** How loud. @default "normal" @section Style */
  volume: "quiet" | "normal" | "loud";
  /** @default ["en"] @minItems 1 */
  languages: string[];
  /** @format date */
  day?: string;
  /** @default false */
  polite: boolean;
}

const greet = task("greet", {}, async (input: { name: string; times: number }) => `hello ${input.name}`.repeat(input.times));

export default dag<Conf>("params", { schedule: null }, ({ conf }) => {
  greet({ name: conf.name, times: conf.times });
});

import { branch, dag, task } from "airloom";
import { ApprovalOperator, HITLEntryOperator, HITLOperator } from "airloom/operators/standard.ts";

const train = task("train", {}, async () => ({ map50: 0.91 }));
const isReady = branch("is_ready", {}, async (input: { choice: { chosen_options: string[] } }) =>
  input.choice.chosen_options.includes("Now") ? "now" : "later",
);
const publish = task("publish", {}, async () => 1);

export default dag("human_in_the_loop", { schedule: null }, () => {
  const model = train({});
  const approved = ApprovalOperator("approve", { subject: "Publish the model?", body: "It was trained on the newest version." }, { after: model });
  const when = HITLOperator<{ chosen_options: string[] }>("when", { subject: "When?", options: ["Now", "Later"] }, { after: approved });
  HITLEntryOperator("note", { subject: "Anything to say?" }, { after: approved, params: { text: "" } });
  isReady({ choice: when }, { now: () => publish({}), later: null });
});

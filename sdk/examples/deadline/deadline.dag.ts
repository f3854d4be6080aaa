import { dag, task } from "airloom";
import { SlackWebhookNotifier } from "airloom/operators/slack.ts";

const work = task("work", { onFailure: SlackWebhookNotifier({ text: "work failed" }) }, async () => 1);

export default dag("deadline", { schedule: null, deadlines: [{ from: "queued_at", within: "30m", notify: SlackWebhookNotifier({ text: "late" }) }] }, () => {
  work({});
});

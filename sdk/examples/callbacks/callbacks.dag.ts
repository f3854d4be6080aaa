import { type Callback, dag, task } from "airloom";

const tell: Callback = async ({ event, error }, { log, run }) => {
  log.warn(`${run.taskId} of ${run.runId}: ${event}`, { error: error ?? null });
};

const work = task("work", { retries: 1, onExecute: tell, onSuccess: tell, onFailure: [tell, tell], onRetry: tell, onSkipped: tell }, async () => 1);

export default dag("callbacks", { schedule: null, onSuccess: tell, onFailure: tell }, () => {
  work({});
});

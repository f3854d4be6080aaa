import { type TaskContext } from "airloom";
import type { RunKey } from "@airloom/dataset-platform/registry/events.ts";
import { isLocal, type LocalRuns } from "./local-runs.ts";

/**
 * Tells whether a run is over and will do nothing more with its batch: Airflow has ended or deleted it. Where that cannot be
 * known it is not over, and its batch is left alone.
 */
export function runIsOver(context: Pick<TaskContext, "getRunState" | "log" | "run">, local: LocalRuns): (run: RunKey) => Promise<boolean> {
  const known = new Map<string, Promise<boolean>>();
  const ask = async ({ dagId, runId }: RunKey): Promise<boolean> => {
    if (isLocal(runId)) return local.isOver({ dagId, runId });
    // `airloom run` asks no Airflow: a run that it does not know may live there.
    if (isLocal(context.run.runId)) return false;
    try {
      const state = await context.getRunState(dagId, runId);
      return state === undefined || state === "success" || state === "failed";
    } catch (error) {
      context.log.warn(`Airflow does not say how run ${runId} of ${dagId} stands, so its pictures are left to it: ${(error as Error).message}`);
      return false;
    }
  };
  return (run) => {
    const key = JSON.stringify([run.dagId, run.runId]);
    const asked = known.get(key) ?? ask(run);
    known.set(key, asked);
    return asked;
  };
}

import { TerminalError } from "airloom";
import { findBatch, releaseBatch } from "@airloom/dataset-platform/registry/batches.ts";
import type { RunKey } from "@airloom/dataset-platform/registry/events.ts";
import type { Registry } from "@airloom/dataset-platform/registry/registry.ts";

/** Gives a batch's pictures back, because its CVAT task is gone, and returns the error that ends the task. */
export async function releaseLostTask(registry: Registry, batchId: string, taskId: number, run: RunKey): Promise<TerminalError> {
  const freed = await releaseBatch(registry.db, batchId, `its CVAT task ${taskId} is gone`, run);
  const { state } = await findBatch(registry.db, batchId);
  const then =
    state === "pulled" ? "what was stored of it before stays as it is" : `its ${freed} pictures wait to be labelled again: trigger the pipeline again`;
  return new TerminalError(`CVAT task ${taskId} of batch ${batchId} is gone: somebody deleted it, or its project. ${then[0]!.toUpperCase()}${then.slice(1)}.`);
}

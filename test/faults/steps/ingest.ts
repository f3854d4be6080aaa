import { ingest } from "@airloom/dataset-platform/store/ingest.ts";
import { atStepPlace, stepRun } from "./place.ts";

await atStepPlace(async ({ registry, storage, incoming }) => {
  // Nobody is still writing here: the pause before a second look need not be long.
  const report = await ingest({ incoming, storage, registry, sourceId: "cam", run: stepRun("ingest_images"), settleMs: 1 });
  if (report.failed.length > 0) throw new Error(`could not be taken: ${JSON.stringify(report.failed)}`);
});

// One of several that take pictures in, claim, pull and commit at once, again and again for FAULTS_SECONDS. With 0 it puts
// nothing there, and goes on until no picture waits. FAULTS_WHO is its name, and the life of that name: "p3.0", and where that
// has failed "p3.1".
import { mkdir, rename, writeFile } from "node:fs/promises";
import path from "node:path";
import sharp from "sharp";
import { claimBatch, imagesOfBatch, setLabelingTask } from "@airloom/dataset-platform/registry/batches.ts";
import { ensureClasses } from "@airloom/dataset-platform/registry/classes.ts";
import type { RunKey } from "@airloom/dataset-platform/registry/events.ts";
import { ingest } from "@airloom/dataset-platform/store/ingest.ts";
import { startPictureWorkers } from "@airloom/dataset-platform/store/picture-workers.ts";
import { DataRepository } from "@airloom/dataset-platform/versions/data-repository.ts";
import { pullTask } from "../../../runners/cvat/pull-task.ts";
import { finishedCvat } from "./finished-cvat.ts";
import { atStepPlace, type StepPlace, stepRun } from "./place.ts";

const seconds = Number(process.env["FAULTS_SECONDS"] ?? "0");
const who = process.env["FAULTS_WHO"] ?? "last";
const longAgo = new Date("2026-01-01T00:00:00Z");
const quiet = { info: () => undefined, warn: () => undefined };
const log = { ...quiet, debug: quiet.info, error: quiet.info };
const batchSize = 3;

/** Whether a run is over: the process is the last, or the run is of an earlier life of this one. */
const isOver = async ({ runId }: RunKey) => {
  const [name, life] = who.split(".");
  const [other, itsLife] = runId.split("-", 1)[0]!.split(".");
  return who === "last" || (other === name && itsLife !== life);
};

/** A picture that is nobody else's, put there as a careful writer does: under its name once it is whole. */
async function putPicture(incoming: string, round: number, n: number): Promise<void> {
  const data = Buffer.from(Array.from({ length: 20 * 16 * 3 }, () => Math.floor(Math.random() * 256)));
  const folder = path.join(incoming, "cam");
  const name = path.join(folder, `${who}-${round}-${n}.png`);
  await mkdir(folder, { recursive: true });
  const hidden = path.join(folder, `.${who}.part`);
  await writeFile(
    hidden,
    await sharp(data, { raw: { width: 20, height: 16, channels: 3 } })
      .png()
      .toBuffer(),
  );
  await rename(hidden, name);
}

async function label({ registry, storage }: StepPlace, round: number): Promise<boolean> {
  const run = { ...stepRun("select_batch"), runId: `${who}-${round}` };
  const claimed = await claimBatch(registry.db, { run, sourceId: "cam", size: batchSize, runAfter: longAgo.toISOString(), isOver });
  if (!claimed) return false;
  const { id } = claimed.batch;
  const cvat = finishedCvat((await imagesOfBatch(registry.db, id)).map(({ sha256, extension }) => `${sha256}.${extension}`));
  await registry.transaction(async (trx) => {
    const asked = await ensureClasses(trx, ["car", "tree"], run);
    await setLabelingTask(trx, id, { project: "p", asked, cvatUrl: cvat.url, cvatTaskId: 1 }, run);
  });
  await pullTask({ registry, storage, cvat, log, run }, { taskId: 1, batchId: id });
  return true;
}

await atStepPlace(async (place) => {
  const { registry, storage, incoming } = place;
  const workers = startPictureWorkers(1);
  const repository = new DataRepository({ storage, remoteUrl: ".remote", dvc: "dvc", news: quiet });
  const deadline = Date.now() + seconds * 1000;
  for (let round = 0; ; round++) {
    const goesOn = Date.now() < deadline;
    for (let n = 0; goesOn && n < 4; n++) await putPicture(incoming, round, n);
    const report = await ingest({ incoming, storage, registry, sourceId: "cam", run: stepRun("ingest_images"), settleMs: 1, workers });
    if (report.failed.length > 0) throw new Error(`could not be taken: ${JSON.stringify(report.failed)}`);
    const hasLabelled = await label(place, round);
    await repository.commit(`Auto-commit: ${who} ${round}`, registry, stepRun("commit_dataset"));
    if (!goesOn && (seconds > 0 || !hasLabelled)) break;
  }
  workers.close();
});

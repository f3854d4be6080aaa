// The whole round by itself, on pictures it draws: `npm run demo`, with `npm start` running in another terminal or not.
import { readFileSync } from "node:fs";
import { mkdir, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { AirflowClient, type TaskInstance } from "../sdk/src/airflow/client.ts";
import { annotate } from "./demo/annotate.ts";
import { drawDetections } from "./demo/draw-detections.ts";
import { type DrawnPicture, drawPicture, shapeLabels } from "./demo/draw.ts";
import { type PartName, readSettings, urlOf } from "./stack/settings.ts";
import { chooseParts, isHealthy, type Stack, startStack } from "./stack/stack.ts";

const pictures = Number(process.env["DEMO_PICTURES"] ?? 120);
const epochs = Number(process.env["DEMO_EPOCHS"] ?? 30);
const imgsz = 256;

const settings = readSettings();
const folder = path.resolve(settings.root, "demo");
const started = Date.now();
const step = (title: string) => console.log(`\n[${Math.round((Date.now() - started) / 1000)} s] ${title}`);
const note = (text: string) => console.log(`    ${text}`);

/** Shows each change of a task's state on one line. */
function progress(): (tasks: readonly TaskInstance[]) => void {
  const said = new Map<string, string>();
  return (tasks) => {
    for (const { task_id, state } of tasks) {
      if (!state || ["scheduled", "queued"].includes(state) || said.get(task_id) === state) continue;
      said.set(task_id, state);
      note(`${task_id}: ${state}`);
    }
  };
}

async function follow(airflow: AirflowClient, dag: string, runId: string): Promise<void> {
  const run = await airflow.waitForRun(dag, runId, { onChange: progress() });
  if (run.state !== "success") throw new Error(`${dag} ended as ${run.state}: see ${urlOf(settings, "airflow")}/dags/${dag}/runs/${encodeURIComponent(runId)}`);
}

async function round(): Promise<void> {
  const airflow = new AirflowClient({
    url: urlOf(settings, "airflow"),
    user: settings.env["AIRFLOW_USER"] || "admin",
    password: settings.env["AIRFLOW_PASSWORD"] || "admin",
  });

  await airflow.waitForDags(["labeling_pipeline", "training_pipeline"]);
  step(`Drawing ${pictures} pictures of ${shapeLabels.join("s, ")}s into ${path.relative(settings.root, settings.incoming)}/`);
  // New pictures every time: those of an earlier demo are known, and would not be labeled again.
  const seed = Math.floor(Date.now() / 1000);
  const truth = new Map<string, DrawnPicture>();
  await mkdir(settings.incoming, { recursive: true });
  for (let i = 0; i < pictures; i++) {
    const picture = await drawPicture(seed * 1000 + i);
    await writeFile(path.join(settings.incoming, `demo-${seed}-${i}.jpg`), picture.jpeg);
    truth.set(picture.sha256, picture);
  }

  step("labeling_pipeline: ingest, choose a batch, make a labeling task");
  note(`watch it: ${urlOf(settings, "airflow")}/dags/labeling_pipeline`);
  const conf = { source_id: "demo", batch_size: pictures, cvat_project: "Demo shapes", labels: [...shapeLabels] };
  const labeling = await airflow.trigger("labeling_pipeline", conf);
  const labelingEnd = follow(airflow, "labeling_pipeline", labeling.dag_run_id);
  labelingEnd.catch(() => undefined);
  const { taskId, boxes } = await Promise.race([
    annotate({ settings, airflow, runId: labeling.dag_run_id, truth }),
    labelingEnd.then(() => new Promise<never>(() => undefined)),
  ]);
  note(
    `task ${taskId}: ${boxes} boxes drawn over REST, as an annotator's program would; look at them: ${settings.cvatUrl ?? urlOf(settings, "labeler")}/tasks/${taskId}`,
  );
  await labelingEnd;
  note(
    `annotations are in ${path.relative(settings.root, settings.storage)}/images; the commit: git -C ${path.relative(settings.root, settings.storage)} log -1`,
  );

  step(`training_pipeline: YOLOv8n from scratch, ${epochs} epochs at ${imgsz} px; this is the long part`);
  note(`loss curves: ${urlOf(settings, "mlflow")}/#/experiments`);
  const training = await airflow.trigger("training_pipeline", { version: "HEAD", epochs, model_name: "YOLOv8_Demo", split: 0.8, imgsz, batch: 8 });
  await follow(airflow, "training_pipeline", training.dag_run_id);
  const trained = (await airflow.xcom("training_pipeline", training.dag_run_id, "evaluate_model")) as { map50: number; map: number };
  note(`mAP50 ${trained.map50.toFixed(3)}, mAP50-95 ${trained.map.toFixed(3)} on pictures that training did not see`);

  step("POST /predict with a picture that nobody has labeled");
  const test = await drawPicture(seed * 1000 + 999_999);
  await mkdir(folder, { recursive: true });
  await writeFile(path.join(folder, "test.jpg"), test.jpeg);
  const manifest = JSON.parse(readFileSync(path.join(settings.model, "manifest.json"), "utf8")) as { sha256: string };
  await waitForModel(manifest.sha256);
  const form = new FormData();
  form.set("file", new Blob([new Uint8Array(test.jpeg)]), "test.jpg");
  const response = await fetch(`${urlOf(settings, "inference")}/predict`, { method: "POST", body: form });
  const answer = (await response.json()) as {
    images: { results: { name: string; confidence: number; box: { x1: number; y1: number; x2: number; y2: number } }[] }[];
  };
  if (!response.ok) throw new Error(`/predict answered ${response.status}: ${JSON.stringify(answer)}`);
  const found = answer.images[0]!.results;
  for (const { name, confidence } of found) note(`${name}, ${(confidence * 100).toFixed(0)} %`);
  await writeFile(path.join(folder, "predictions.png"), await drawDetections(test.jpeg, found));
  note(`curl -X POST ${urlOf(settings, "inference")}/predict -F "file=@demo/test.jpg"`);
  console.log(
    `\nDone in ${Math.round((Date.now() - started) / 1000)} s. The picture with its boxes: ${path.join(path.relative(settings.root, folder), "predictions.png")}`,
  );
}

async function waitForModel(sha256: string): Promise<void> {
  for (let i = 0; i < 60; i++) {
    const ready = (await fetch(`${urlOf(settings, "inference")}/readyz`).then((response) => response.json())) as { model?: { sha256: string } };
    if (ready.model?.sha256 === sha256) return;
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
  throw new Error("the inference service has not taken the new model within 30 s: see its log");
}

let stack: Stack | undefined;
let starting = false;
let interrupted = false;
for (const signal of ["SIGINT", "SIGTERM"] as const)
  process.on(signal, () => {
    interrupted = true;
    // A stack that is still starting cannot be stopped yet: that is done below.
    if (!starting) void (stack?.stop() ?? Promise.resolve()).then(() => process.exit(130));
  });
try {
  const down: PartName[] = [];
  for (const part of chooseParts(undefined, settings)) if (!(await isHealthy(part, settings))) down.push(part);
  if (down.length > 0) {
    console.log(`Starting ${down.join(", ")} for the time of the demo (\`npm start\` keeps them up)`);
    starting = true;
    stack = await startStack(settings, down, (line) => console.log(line));
    starting = false;
    if (interrupted) throw new Error("interrupted");
  }
  await rm(path.join(folder, "predictions.png"), { force: true });
  await round();
} catch (error) {
  console.error(`\nThe demo stopped: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 1;
} finally {
  await stack?.stop();
}
process.exit();

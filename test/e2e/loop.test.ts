// The whole loop on a real stack of its own: Airflow with scheduler and all, MLflow, the labeler, the inference service.
import assert from "node:assert/strict";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { execa } from "execa";
import { AirflowClient } from "../../sdk/src/airflow/client.ts";
import { annotate, annotator, waitForTask } from "../../scripts/demo/annotate.ts";
import { type DrawnPicture, drawPicture, shapeLabels } from "../../scripts/demo/draw.ts";
import { databaseUrl } from "../../scripts/stack/database-url.ts";
import { readSettings, type StackSettings, urlOf } from "../../scripts/stack/settings.ts";
import { type Stack, startStack } from "../../scripts/stack/stack.ts";
import { trainingFolderName } from "../../runners/train/hold-folder.ts";
import { type BoxXyxy, fromYolo, iouOf } from "../../yolo/src/boxes/boxes.ts";
import { onFreePorts } from "../free-port.ts";
import { patientAirflow } from "../patient-airflow.ts";
import { patientMs, waitFor } from "../patience.ts";
import { descendantsOf } from "../processes.ts";
import { exportTask } from "./export-task.ts";
import { drawBoxesInBrowser } from "./labeler-page.ts";
import { lookAtTriggerForm } from "./trigger-form.ts";

const pictures = 130;
const epochs = 24;

const portNames = ["POSTGRES_PORT", "AIRFLOW_PORT", "MLFLOW_PORT", "INFERENCE_PORT", "LABELER_PORT"];

/** What the stack leaves at Airflow's defaults, which are one machine's ports and a quiet machine's limits. */
async function writeAirflowConfig(home: string, [workerLogs, triggererLogs]: readonly number[]): Promise<void> {
  const settings = {
    ...patientAirflow,
    AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT: workerLogs,
    AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT: triggererLogs,
  };
  const sections = new Map<string, string[]>();
  for (const [name, value] of Object.entries(settings)) {
    const [, section = "", key = ""] = name.toLowerCase().split("__");
    sections.set(section, [...(sections.get(section) ?? []), `${key} = ${value}`]);
  }
  await mkdir(home, { recursive: true });
  await writeFile(path.join(home, "airflow.cfg"), [...sections].map(([section, lines]) => `[${section}]\n${lines.join("\n")}\n`).join("\n"));
}

describe("the whole loop", () => {
  let root: string;
  let settings: StackSettings;
  let stack: Stack;
  let airflow: AirflowClient;
  const truth = new Map<string, DrawnPicture>();
  let firstCommit: string;
  let failed = false;

  const git = async (...args: string[]) => (await execa("git", args, { cwd: settings.storage })).stdout;
  const put = async (from: number, to: number) => {
    for (let i = from; i < to; i++) {
      const picture = await drawPicture(i);
      truth.set(picture.sha256, picture);
      await writeFile(path.join(settings.incoming, `${i}.jpg`), picture.jpeg);
    }
  };
  const statesOf = async (dag: string, run: string) => Object.fromEntries((await airflow.taskInstances(dag, run)).map((task) => [task.task_id, task.state]));
  const logOf = async (dag: string, run: string, task: string) => (await airflow.taskLog(dag, run, task, 1)).join("\n");

  before(async function () {
    this.timeout(300_000);
    root = await mkdtemp(path.join(tmpdir(), "airloom-e2e-"));
    const folders = { AIRLOOM_HOME: "home", STORAGE_DIR: "storage", INCOMING_DIR: "incoming", MODEL_DIR: "model" };
    stack = await onFreePorts(portNames.length + 2, async (ports) => {
      settings = readSettings({
        ...Object.fromEntries(Object.entries(folders).map(([name, folder]) => [name, path.join(root, folder)])),
        ...Object.fromEntries(portNames.map((name, i) => [name, String(ports[i])])),
        LISTEN_HOST: "127.0.0.1",
        CVAT_URL: "",
        DATABASE_URL: "",
        DVC_REMOTE_URL: "",
      });
      await mkdir(settings.incoming, { recursive: true });
      await writeAirflowConfig(path.join(settings.home, "airflow"), ports.slice(portNames.length));
      return startStack(settings, ["postgres", "labeler", "mlflow", "inference", "airflow"], () => undefined, patientMs(60_000));
    });
    airflow = new AirflowClient({
      url: urlOf(settings, "airflow"),
      user: settings.env["AIRFLOW_USER"] || "admin",
      password: settings.env["AIRFLOW_PASSWORD"] || "admin",
    });
    // The DAG processor needs a moment for its first round.
    await airflow.waitForDags(["labeling_pipeline", "training_pipeline"], patientMs(60_000));
  });

  afterEach(function () {
    failed ||= this.currentTest?.state === "failed";
  });
  after(async function () {
    this.timeout(60_000);
    await stack?.stop();
    // What went wrong in CI can only be read from the logs.
    if (failed || process.env["KEEP_E2E"]) console.log(`the stack's folder is kept: ${root}`);
    else await rm(root, { recursive: true, force: true });
  });

  it("loads both DAGs without import errors, and shows their typed forms in the UI", async () => {
    assert.deepEqual(await airflow.importErrors(), []);
    const form = await lookAtTriggerForm(settings, "labeling_pipeline", path.join(root, "screenshots"));
    for (const text of ["source_id", "batch_size", "cvat_project", "labels", "Number of images to label."])
      assert.ok(form.includes(text), `the form lacks "${text}": ${form.slice(0, 600)}`);
    const training = await lookAtTriggerForm(settings, "training_pipeline", path.join(root, "screenshots"));
    for (const text of ["version", "epochs", "model_name", "split", "Training epochs."]) assert.ok(training.includes(text), `the form lacks "${text}"`);
  }).timeout(120_000);

  it("labels with the guide's JSON: a task in CVAT, a person's boxes drawn in a browser, a commit", async () => {
    await put(0, 3);
    // The handover guide's own conf.
    const conf = { source_id: "manual_upload", batch_size: 10, cvat_project: "MyProject", labels: ["car", "truck"] };
    const { dag_run_id: run } = await airflow.trigger("labeling_pipeline", conf);
    const taskId = await waitForTask(airflow, run, patientMs(120_000));
    const cvat = annotator(settings);
    assert.equal((await cvat.frames(taskId)).length, 3);
    assert.deepEqual(
      (await cvat.labelsOfTask(taskId)).map(({ name }) => name),
      ["car", "truck"],
    );
    const drawn = await drawBoxesInBrowser(settings, taskId, path.join(root, "screenshots"));
    assert.equal((await airflow.waitForRun("labeling_pipeline", run)).state, "success");

    const shapes = (await cvat.annotations(taskId)).shapes;
    assert.equal(shapes.length, 1);
    shapes[0]!.points.forEach((value, i) => assert.ok(Math.abs(value - drawn.box[i]!) < 3, `drawn ${drawn.box}, kept ${shapes[0]!.points}`));
    // The label file beside the image holds the box that the mouse drew, of the class that the keyboard chose.
    const [sha] = (await cvat.frames(taskId))[shapes[0]!.frame]!.name.split(".");
    const [cls, ...xywh] = (await readFile(path.join(settings.storage, "images", sha!.slice(0, 2), sha!.slice(2, 4), `${sha}.txt`), "utf8"))
      .trim()
      .split(" ")
      .map(Number);
    assert.equal((await readFile(path.join(settings.storage, "classes.txt"), "utf8")).split("\n")[cls!], "truck");
    assert.ok(iouOf(fromYolo(xywh as [number, number, number, number], 320, 240), drawn.box) > 0.9);

    // So does the export, as CVAT would give it to anyone else.
    const exported = (await exportTask(settings, taskId, "YOLO 1.1"))[`obj_train_data/${sha}.txt`]!.trim().split(" ").map(Number);
    assert.equal(exported[0], 1);
    assert.ok(iouOf(fromYolo(exported.slice(1) as [number, number, number, number], 320, 240), drawn.box) > 0.9);

    assert.match(await git("log", "-1", "--format=%s"), /^Auto-commit/);
    assert.deepEqual((await git("show", "--name-only", "--format=", "HEAD")).split("\n"), [
      ".dvc/.gitignore",
      ".dvc/config",
      ".dvcignore",
      ".gitignore",
      "classes.txt",
      "images.dvc",
    ]);
    // One pointer for each folder of two digits: three pictures and their label files.
    const pointers = await git("show", "HEAD:images.dvc");
    const files = Array.from(pointers.matchAll(/nfiles: (\d+)\n {2}hash: md5\n {2}path: images\/[0-9a-f]{2}$/gm), ([, count]) => Number(count));
    assert.equal(
      files.reduce((sum, count) => sum + count, 0),
      6,
      pointers,
    );
    firstCommit = await git("rev-parse", "HEAD");
    const env = { DVC_SITE_CACHE_DIR: path.join(root, "dvc-site"), DVC_NO_ANALYTICS: "1" };
    const { stdout } = await execa(path.join(settings.root, ".venv/bin/dvc"), ["status"], { cwd: settings.storage, env });
    assert.match(stdout, /up to date/);
  }).timeout(240_000);

  it("skips, and makes no commit, where there are no new pictures", async () => {
    const { dag_run_id: run } = await airflow.trigger("labeling_pipeline", {});
    await airflow.waitForRun("labeling_pipeline", run);
    const states = await statesOf("labeling_pipeline", run);
    assert.deepEqual(
      [states["ingest_images"], states["select_batch"], states["create_cvat_task"], states["commit_dataset"]],
      ["success", "skipped", "skipped", "skipped"],
    );
    assert.match(await logOf("labeling_pipeline", run, "select_batch"), /no new images of source "manual_upload"/);
    assert.equal(await git("rev-parse", "HEAD"), firstCommit);
  }).timeout(120_000);

  it("refuses a conf that does not fit, before anything runs", async () => {
    await assert.rejects(airflow.trigger("labeling_pipeline", { batch_size: 0 }), /Invalid input for param batch_size: 0 is less than the minimum of 1/);
    await assert.rejects(airflow.trigger("training_pipeline", { split: "half" }), /Invalid input for param split: 'half' is not of type 'number'/);
  });

  it("refuses to train a version that is not there, at once and with what there is", async () => {
    const { dag_run_id: run } = await airflow.trigger("training_pipeline", { version: "no-such-tag" });
    assert.equal((await airflow.waitForRun("training_pipeline", run)).state, "failed");
    const states = await statesOf("training_pipeline", run);
    assert.deepEqual([states["export_dataset"], states["train_model"]], ["failed", "upstream_failed"]);
    assert.match(await logOf("training_pipeline", run, "export_dataset"), /no dataset version "no-such-tag".*main/);
  }).timeout(120_000);

  it("labels a larger batch over REST, and never the same picture twice", async () => {
    await mkdir(path.join(settings.incoming, "shapes"));
    for (let i = 1000; i < 1000 + pictures; i++) {
      const picture = await drawPicture(i);
      truth.set(picture.sha256, picture);
      await writeFile(path.join(settings.incoming, "shapes", `${i}.jpg`), picture.jpeg);
    }
    // A picture that is known already comes again.
    await writeFile(path.join(settings.incoming, "again.jpg"), (await drawPicture(0)).jpeg);
    const { dag_run_id: run } = await airflow.trigger("labeling_pipeline", {
      source_id: "shapes",
      batch_size: 1000,
      cvat_project: "Shapes",
      labels: [...shapeLabels],
    });
    await annotate({ settings, airflow, runId: run, truth, patienceMs: patientMs(120_000) });
    assert.equal((await airflow.waitForRun("labeling_pipeline", run)).state, "success");
    assert.deepEqual(await airflow.xcom("labeling_pipeline", run, "ingest_images"), { added: pictures, known: 1, rejected: 0 });
    assert.equal(((await airflow.xcom("labeling_pipeline", run, "select_batch")) as { images: number }).images, pictures);
    assert.notEqual(await git("rev-parse", "HEAD"), firstCommit);
    assert.deepEqual(
      (await readdir(settings.incoming)).filter((name) => name.endsWith(".jpg")),
      [],
    );
  }).timeout(240_000);

  it("labels in six runs at once: each picture once, one project, and every rule of the data holds", async () => {
    const each = 4;
    const sources = Array.from({ length: 6 }, (_, i) => `yard${i}`);
    for (const [i, source] of sources.entries()) {
      await mkdir(path.join(settings.incoming, source));
      for (let n = 0; n < each; n++) {
        const picture = await drawPicture(5000 + i * each + n);
        truth.set(picture.sha256, picture);
        await writeFile(path.join(settings.incoming, source, `${n}.jpg`), picture.jpeg);
      }
    }
    const conf = { batch_size: 10, cvat_project: "Together", labels: [...shapeLabels] };
    const runs = await Promise.all(sources.map(async (source_id) => (await airflow.trigger("labeling_pipeline", { ...conf, source_id })).dag_run_id));
    const annotated = await Promise.all(runs.map((runId) => annotate({ settings, airflow, runId, truth, patienceMs: patientMs(120_000) })));
    for (const run of runs) assert.equal((await airflow.waitForRun("labeling_pipeline", run)).state, "success");
    assert.equal(new Set(annotated.map(({ taskId }) => taskId)).size, sources.length);
    const batches = await Promise.all(runs.map((run) => airflow.xcom("labeling_pipeline", run, "select_batch")));
    assert.deepEqual(
      batches.map((batch) => (batch as { images: number }).images),
      sources.map(() => each),
    );
    const cvat = annotator(settings);
    const projects = await Promise.all(annotated.map(async ({ taskId }) => (await cvat.task(taskId)).project_id));
    assert.equal(new Set(projects).size, 1, `projects ${projects}`);

    const data = async (...args: string[]) => {
      const env = { AIRLOOM_REGISTRY_URL: databaseUrl(settings.database, "airloom"), STORAGE_DIR: settings.storage };
      return (await execa(process.execPath, ["runners/bin/airloom-data.mjs", ...args], { cwd: settings.root, env })).stdout;
    };
    const { sources: counted, uncommitted } = JSON.parse(await data("--json", "status")) as {
      sources: { source: string; new: number; claimed: number; labelled: number; excluded: number }[];
      uncommitted: number;
    };
    assert.deepEqual(
      counted.filter(({ source }) => sources.includes(source)),
      sources.map((source) => ({ source, new: 0, claimed: 0, labelled: each, excluded: 0 })),
    );
    assert.equal(uncommitted, 0);
    assert.deepEqual(JSON.parse(await data("--json", "verify", "--deep")), []);
  }).timeout(300_000);

  it("trains on that version to mAP50 ≥ 0.90, with curves in MLflow, a registered model and a manifest", async () => {
    const conf = { version: "HEAD", epochs, model_name: "YOLOv8_Demo", split: 0.8, imgsz: 256, batch: 8 };
    const { dag_run_id: run } = await airflow.trigger("training_pipeline", conf);
    const end = await airflow.waitForRun("training_pipeline", run);
    const states = await statesOf("training_pipeline", run);
    assert.equal(end.state, "success", JSON.stringify(states));
    assert.equal(states["train_model"], "success");
    const { map50 } = (await airflow.xcom("training_pipeline", run, "evaluate_model")) as { map50: number };
    console.log(`      mAP50 ${map50.toFixed(3)}`);
    assert.ok(map50 >= 0.9, `mAP50 is ${map50}`);

    const { runId } = (await airflow.xcom("training_pipeline", run, "train_model")) as { runId: string };
    const mlflow = async <T>(call: string) => (await (await fetch(`${urlOf(settings, "mlflow")}/api/2.0/mlflow/${call}`)).json()) as T;
    for (const key of ["train/box_loss", "train/cls_loss", "train/dfl_loss", "metrics/mAP50B"]) {
      const { metrics } = await mlflow<{ metrics: { step: number; value: number }[] }>(
        `metrics/get-history?run_id=${runId}&metric_key=${encodeURIComponent(key)}`,
      );
      assert.deepEqual(
        metrics.map(({ step }) => step),
        Array.from({ length: epochs }, (_, i) => i + 1),
        key,
      );
      if (key.startsWith("train/")) assert.ok(metrics.at(-1)!.value < metrics[0]!.value, `${key} did not fall`);
    }
    const { files } = await mlflow<{ files: { path: string }[] }>(`artifacts/list?run_id=${runId}`);
    const shown = new Set(files.map((file) => file.path));
    for (const name of [
      "results.csv",
      "results.png",
      "report.html",
      "model-card.md",
      "confusion_matrix.png",
      "BoxPR_curve.png",
      "val_batch0_pred.jpg",
      "weights",
    ])
      assert.ok(shown.has(name), `MLflow lacks ${name}: it has ${[...shown].join(", ")}`);
    const { model_version } = await mlflow<{ model_version: { version: string; run_id: string } }>("registered-models/alias?name=YOLOv8_Demo&alias=champion");
    assert.equal(model_version.run_id, runId);

    const manifest = JSON.parse(await readFile(path.join(settings.model, "manifest.json"), "utf8")) as Record<string, unknown>;
    assert.deepEqual(
      [manifest["name"], manifest["version"], manifest["runId"], manifest["datasetCommit"]],
      ["YOLOv8_Demo", model_version.version, runId, await git("rev-parse", "HEAD")],
    );
    // What the inference service tries before it serves the model, and what a roll-back would find.
    const { file: canary, detections } = manifest["canary"] as { file: string; detections: unknown[] };
    assert.ok(detections.length > 0);
    const published = ["best.onnx", "best.pt", "best.safetensors", canary, "manifest.json"].toSorted();
    assert.deepEqual((await readdir(settings.model)).toSorted(), [...published, "versions"]);
    assert.deepEqual((await readdir(path.join(settings.model, "versions/YOLOv8_Demo@1"))).toSorted(), published);
  }).timeout(300_000);

  it("goes on with a training that was stopped, and registers a worse model without publishing it", async () => {
    const manifest = await readFile(path.join(settings.model, "manifest.json"), "utf8");
    const conf = {
      version: "HEAD",
      epochs: 2,
      model_name: "YOLOv8_Demo",
      split: 0.8,
      imgsz: 128,
      batch: 4,
      lr0: 1e-6,
      test_share: 0.1,
      classes: [...shapeLabels],
    };
    const { dag_run_id: run } = await airflow.trigger("training_pipeline", conf);
    const folder = path.join(
      settings.storage,
      ".airloom/training",
      trainingFolderName({ dagId: "training_pipeline", runId: run, taskId: "train_model", mapIndex: -1 }),
    );
    const hasState = async () => (await readdir(folder).catch((): string[] => [])).includes("resume.safetensors");
    await waitFor(hasState, { what: "the state of the first epoch", quietMs: 120_000 });
    // As a spot instance or a cleared task is told to go. This stack's own: a person may train beside it.
    const training = descendantsOf([process.pid]).filter(({ args }) => args.some((arg) => arg.endsWith("training_pipeline.child.mjs")));
    assert.equal(training.length, 1, JSON.stringify(training));
    process.kill(training[0]!.pid, "SIGTERM");
    const end = await airflow.waitForRun("training_pipeline", run);
    const tasks = await airflow.taskInstances("training_pipeline", run);
    assert.equal(end.state, "success", JSON.stringify(tasks.map((task) => [task.task_id, task.state])));
    assert.match(await logOf("training_pipeline", run, "train_model"), /asked to stop; its state is saved/);
    assert.match((await airflow.taskLog("training_pipeline", run, "train_model", 2)).join("\n"), /going on from epoch 2/);
    assert.match(await logOf("training_pipeline", run, "evaluate_model"), /ONNX on \d+ test images: mAP50 /);
    assert.equal(tasks.find((task) => task.task_id === "publish_model")!.state, "skipped");
    assert.match(
      await logOf("training_pipeline", run, "publish_model"),
      /registered but not published: it does not know car, truck, which the champion does; mAP50-95 0\.\d+ against the champion's 0\.\d+: worse/,
    );
    const { version } = (await airflow.xcom("training_pipeline", run, "register_model")) as { version: string };
    assert.equal(version, "2");
    assert.equal(await readFile(path.join(settings.model, "manifest.json"), "utf8"), manifest);
  }).timeout(200_000);

  it("serves the model without a restart: /predict finds what is on pictures that nobody labelled", async () => {
    const { sha256 } = JSON.parse(await readFile(path.join(settings.model, "manifest.json"), "utf8")) as { sha256: string };
    const ready = async () => ((await (await fetch(`${urlOf(settings, "inference")}/readyz`)).json()) as { model?: { sha256: string } }).model?.sha256;
    await waitFor(async () => (await ready()) === sha256, { what: "the inference service to take the model", everyMs: 250 });
    let objects = 0;
    let hits = 0;
    for (let n = 5000; n < 5010; n++) {
      const picture = await drawPicture(n);
      const form = new FormData();
      form.set("file", new Blob([new Uint8Array(picture.jpeg)]), "test.jpg");
      const response = await fetch(`${urlOf(settings, "inference")}/predict`, { method: "POST", body: form });
      const { images } = (await response.json()) as { images: { results: { name: string; box: { x1: number; y1: number; x2: number; y2: number } }[] }[] };
      for (const { label, box } of picture.objects) {
        objects++;
        const found = images[0]!.results.some(({ name, box: b }) => name === label && iouOf([b.x1, b.y1, b.x2, b.y2] as BoxXyxy, box) >= 0.7);
        if (found) hits++;
      }
    }
    console.log(`      ${hits} of ${objects} objects found with the right class and IoU ≥ 0.7`);
    assert.ok(hits / objects >= 0.8);
  }).timeout(60_000);

  it("triggers from the terminal: airloom trigger --wait shows the states, and exits with 1 when the run fails", async () => {
    const env = { AIRFLOW_URL: urlOf(settings, "airflow"), AIRFLOW_PASSWORD: settings.env["AIRFLOW_PASSWORD"] || "admin" };
    const airloom = (...args: string[]) =>
      execa(process.execPath, [path.join(settings.root, "sdk/bin/airloom.mjs"), "trigger", ...args], { env, reject: false, all: true });
    const skipped = await airloom("labeling_pipeline", "--conf", '{"batch_size": 5}', "--wait");
    assert.equal(skipped.exitCode, 0);
    assert.match(skipped.all, /select_batch\s+skipped/);
    const failed = await airloom("training_pipeline", "--conf", '{"version": "nope"}', "--wait");
    assert.equal(failed.exitCode, 1);
    assert.match(failed.all, /no dataset version "nope"/);
    const wrong = await airloom("training_pipeline", "--conf", "{epochs: 3}");
    assert.equal(wrong.exitCode, 1);
    assert.match(wrong.all, /--conf is not JSON/);
  }).timeout(180_000);
});

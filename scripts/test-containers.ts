// Builds the images, brings compose.yaml up, runs both pipelines and /predict through the published ports, and takes it all
// down again: npm run test:containers. Docker, or podman with podman-compose. Where images must be built with flags of their
// own (no registry, say), AIRLOOM_BUILD_ARGS holds them: AIRLOOM_BUILD_ARGS="--network=host --pull=never".
import { chownSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { execa } from "execa";
import { AirflowClient } from "../sdk/src/airflow/client.ts";
import { annotate } from "./demo/annotate.ts";
import { type DrawnPicture, drawPicture, shapeLabels } from "./demo/draw.ts";
import { isFree } from "./stack/ports.ts";
import { readSettings, type StackSettings, urlOf } from "./stack/settings.ts";

const images = [
  { tag: "airloom/airflow", args: ["-f", "docker/airflow.Dockerfile"] },
  { tag: "airloom/mlflow", args: ["-f", "docker/mlflow.Dockerfile"] },
  { tag: "airloom/inference", args: ["-f", "docker/node.Dockerfile", "--target", "inference"] },
  { tag: "airloom/labeler", args: ["-f", "docker/node.Dockerfile", "--target", "labeler"] },
];
const pictures = 60;
const epochs = 6;
const started = Date.now();
const say = (text: string) => console.log(`[${Math.round((Date.now() - started) / 1000)} s] ${text}`);

async function findEngine(): Promise<{ build: string; compose: string[] }> {
  const works = (command: string, args: string[]) =>
    execa(command, args).then(
      () => true,
      () => false,
    );
  if (await works("docker", ["info"])) return { build: "docker", compose: ["docker", "compose"] };
  if (await works("podman-compose", ["--version"])) return { build: "podman", compose: ["podman-compose", "--no-ansi"] };
  throw new Error("neither Docker nor podman with podman-compose works here: install one of them");
}

async function healthy(url: string, check: (body: unknown) => boolean = () => true): Promise<void> {
  for (const deadline = Date.now() + 420_000; Date.now() < deadline;) {
    try {
      const response = await fetch(url, { signal: AbortSignal.timeout(5000) });
      const text = await response.text();
      if (response.ok && check(text.startsWith("{") ? JSON.parse(text) : text)) return;
    } catch {
      // Not up yet.
    }
    await new Promise((resolve) => setTimeout(resolve, 2000));
  }
  throw new Error(`${url} was not healthy within seven minutes`);
}

async function round(settings: StackSettings): Promise<void> {
  const airflow = new AirflowClient({
    url: urlOf(settings, "airflow"),
    user: settings.env["AIRFLOW_USER"] || "admin",
    password: settings.env["AIRFLOW_PASSWORD"] || "admin",
  });
  await airflow.waitForDags(["labeling_pipeline", "training_pipeline"]);
  const errors = await airflow.importErrors();
  if (errors.length > 0) throw new Error(`import errors: ${JSON.stringify(errors)}`);
  const truth = new Map<string, DrawnPicture>();
  for (let i = 0; i < pictures; i++) {
    const picture = await drawPicture(i);
    truth.set(picture.sha256, picture);
    writeFileSync(path.join(settings.incoming, `${i}.jpg`), picture.jpeg);
  }
  const follow = async (dag: string, run: string) => {
    const { state } = await airflow.waitForRun(dag, run, { pollMs: 2000 });
    if (state === "success") return say(`${dag}: success`);
    const failed = (await airflow.taskInstances(dag, run)).filter((task) => task.state === "failed");
    for (const task of failed) console.error((await airflow.taskLog(dag, run, task.task_id, task.try_number)).slice(-15).join("\n"));
    throw new Error(`${dag} ended as ${state}`);
  };
  const labeling = await airflow.trigger("labeling_pipeline", { batch_size: pictures, cvat_project: "Shapes", labels: [...shapeLabels] });
  const { boxes } = await annotate({ settings, airflow, runId: labeling.dag_run_id, truth });
  say(`${boxes} boxes over the labeler's REST API`);
  await follow("labeling_pipeline", labeling.dag_run_id);
  const training = await airflow.trigger("training_pipeline", { epochs, imgsz: 256 });
  await follow("training_pipeline", training.dag_run_id);
  await healthy(`${urlOf(settings, "inference")}/readyz`);
  const form = new FormData();
  form.set("file", new Blob([new Uint8Array((await drawPicture(9999)).jpeg)]), "test.jpg");
  const response = await fetch(`${urlOf(settings, "inference")}/predict?conf=0.001`, { method: "POST", body: form });
  const answer = (await response.json()) as { images?: { shape: number[] }[]; metadata?: { model: { name: string } } };
  if (response.status !== 200 || answer.metadata?.model.name !== "YOLOv8_Demo" || answer.images?.[0]?.shape.join() !== "240,320")
    throw new Error(`/predict answered ${response.status}: ${JSON.stringify(answer).slice(0, 500)}`);
  say("/predict answers with the model that was trained in the containers");
}

const work = mkdtempSync(path.join(tmpdir(), "airloom-containers-"));
const folder = (name: string) => path.join(work, name);
const own = {
  INCOMING_DIR: folder("incoming"),
  MODEL_DIR: folder("model"),
  CVAT_URL: "",
  AIRFLOW_PORT: "18081",
  MLFLOW_PORT: "15000",
  INFERENCE_PORT: "18000",
  LABELER_PORT: "18080",
};
const settings = readSettings(own);
const uid = Number(settings.env["AIRLOOM_UID"] || 1000);
for (const name of [work, own.INCOMING_DIR, own.MODEL_DIR]) {
  mkdirSync(name, { recursive: true });
  if (process.getuid?.() === 0) chownSync(name, uid, 0);
}
const { build, compose } = await findEngine();
const [command = "", ...first] = compose;
const env = { ...own, COMPOSE_PROJECT_NAME: "airloom-test" };
const run = (args: readonly string[]) =>
  execa(command, [...first, "-p", "airloom-test", ...args], { cwd: settings.root, env, stdio: ["ignore", "inherit", "inherit"] });
try {
  for (const [part, port] of Object.entries(settings.ports)) if (!(await isFree("127.0.0.1", port))) throw new Error(`port ${port} for ${part} is taken`);
  if (!existsSync(path.join(settings.root, "compose.yaml"))) throw new Error("compose.yaml is missing");
  const flags = (process.env["AIRLOOM_BUILD_ARGS"] ?? "").split(" ").filter(Boolean);
  for (const { tag, args } of images) {
    await execa(build, ["build", "-q", ...flags, "-t", tag, ...args, "."], { cwd: settings.root, stdio: ["ignore", "ignore", "inherit"] });
    const { stdout } = await execa(build, ["image", "inspect", tag, "--format", "{{.Size}}"]);
    say(`built ${tag}: ${(Number(stdout) / 1e6).toFixed(0)} MB`);
  }
  await run(["up", "-d", "--no-build"]);
  const up = Date.now();
  await healthy(`${urlOf(settings, "labeler")}/healthz`);
  await healthy(`${urlOf(settings, "inference")}/healthz`);
  await healthy(`${urlOf(settings, "mlflow")}/health`);
  await healthy(`${urlOf(settings, "airflow")}/api/v2/monitor/health`, (body) =>
    ["metadatabase", "scheduler", "triggerer", "dag_processor"].every((name) => (body as Record<string, { status: string }>)[name]?.status === "healthy"),
  );
  say(`all services are healthy after ${Math.round((Date.now() - up) / 1000)} s`);
  await round(settings);
  say("passed");
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  await run(["ps"]).catch(() => undefined);
  await run(["logs", "--tail", "25"]).catch(() => undefined);
  process.exitCode = 1;
} finally {
  await run(["down", "-v"]).catch(() => undefined);
  rmSync(work, { recursive: true, force: true });
}
process.exit();

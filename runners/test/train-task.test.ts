import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { mkdir, mkdtemp, readdir, rm, stat, writeFile } from "node:fs/promises";
import { type AddressInfo, createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import * as tf from "@tensorflow/tfjs-node";
import type { TaskContext } from "airloom";
import sharp from "sharp";
import { patientMs, waitFor } from "../../test/patience.ts";
import { failure } from "../train/failure.ts";
import { trainModel } from "../train/task.ts";

const mlflow = fileURLToPath(new URL("../../.venv/bin/mlflow", import.meta.url));

/** A server whose connections break, as if nothing listened: it keeps the port until MLflow takes it. */
async function holdPort(): Promise<Server> {
  const server = createServer((socket) => socket.destroy());
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return server;
}

describe("the training task", () => {
  let root: string;
  let holder: Server;
  let port: number;
  let server: ChildProcess | undefined;
  const lines: string[] = [];
  const outer = { ...process.env };
  before(async () => {
    root = await mkdtemp(path.join(tmpdir(), "train-task-"));
    holder = await holdPort();
    ({ port } = holder.address() as AddressInfo);
    Object.assign(process.env, {
      STORAGE_DIR: path.join(root, "storage"),
      INCOMING_DIR: path.join(root, "incoming"),
      MODEL_DIR: path.join(root, "model"),
      MLFLOW_TRACKING_URI: `http://127.0.0.1:${port}`,
      AIRLOOM_MLFLOW_PATIENCE_S: "1",
    });
    const data = path.join(root, "data");
    await mkdir(data);
    const objects = [{ cls: 0, xywh: [0.5, 0.5, 0.4, 0.4] }];
    const pictures = await Promise.all(
      [0, 1, 2].map(async (i) => {
        await sharp({ create: { width: 64, height: 64, channels: 3, background: { r: i * 80, g: 90, b: 120 } } })
          .png()
          .toFile(path.join(data, `${i}.png`));
        return { sha256: String(i), image: `${i}.png`, objects, asked: null, bytes: 0 };
      }),
    );
    const sides = { train: pictures.slice(0, 2), validation: pictures.slice(2), test: [] };
    for (const [side, part] of Object.entries(sides))
      await writeFile(path.join(data, `${side}.jsonl`), part.map((picture) => `${JSON.stringify(picture)}\n`).join(""));
    const counts = { train: 2, validation: pictures.length - 2, test: 0 };
    const header = { commit: "c".repeat(40), split: 0.3, test: 0, labels: ["thing"], counts, askedOn: [pictures.length] };
    await writeFile(path.join(data, "data.json"), JSON.stringify(header));
  });
  after(async () => {
    holder.close();
    // The server has workers of its own.
    if (server?.pid) process.kill(-server.pid, "SIGKILL");
    for (const name of ["STORAGE_DIR", "INCOMING_DIR", "MODEL_DIR", "MLFLOW_TRACKING_URI", "AIRLOOM_MLFLOW_PATIENCE_S"])
      if (outer[name] === undefined) delete process.env[name];
      else process.env[name] = outer[name];
    await rm(root, { recursive: true, force: true });
  });

  const note = (text: string) => void lines.push(text);
  const context = (tryNumber: number) =>
    ({
      log: { info: note, warn: note, error: note, debug: note },
      signal: new AbortController().signal,
      run: { dagId: "training_pipeline", runId: "manual__1", taskId: "train_model", mapIndex: -1, tryNumber },
    }) as unknown as TaskContext;
  const input = {
    dataset: { folder: "", commit: "c".repeat(40) },
    modelName: "away",
    model: "yolov8n",
    epochs: 2,
    imgsz: 64,
    batch: 2,
    seed: 0,
    patience: 10,
    optimizer: "auto",
    precision: "fp32",
    lr0: 0,
    closeMosaic: 0,
    freeze: 0,
    time: 0,
    weights: "",
  };
  const get = async (call: string) => (await (await fetch(`http://127.0.0.1:${port}/api/2.0/mlflow/${call}`)).json()) as never;

  it("fails its try when a real MLflow stays away, and the next try sends everything without training again", async () => {
    const given = { ...input, dataset: { ...input.dataset, folder: path.join(root, "data") } };
    await assert.rejects(trainModel.handler(given as never, context(1)), /could not be told everything of this run within 1 s/);
    const folder = path.join(root, "storage/.airloom/training");
    const [runFolder] = await readdir(folder);
    const best = path.join(folder, runFolder!, "best.onnx");
    const made = (await stat(best)).mtimeMs;

    await new Promise((resolve) => holder.close(resolve));
    const store = ["--backend-store-uri", `sqlite:///${root}/mlflow.db`, "--artifacts-destination", path.join(root, "artifacts")];
    server = spawn(mlflow, ["server", "--host", "127.0.0.1", "--port", String(port), "--workers", "1", ...store], {
      stdio: "ignore",
      detached: true,
      env: { ...process.env, MLFLOW_SERVER_ENABLE_JOB_EXECUTION: "false", MLFLOW_DISABLE_TELEMETRY: "true" },
    });
    const up = () =>
      fetch(`http://127.0.0.1:${port}/health`).then(
        ({ ok }) => ok,
        () => false,
      );
    const ended = () => server!.exitCode !== null && assert.fail(`MLflow ended with ${server!.exitCode}`);
    await waitFor(async () => ended() || up(), { what: "MLflow to be up", quietMs: 60_000, everyMs: 250 });
    process.env["AIRLOOM_MLFLOW_PATIENCE_S"] = String(patientMs(60_000) / 1000);
    lines.length = 0;
    const trained = (await trainModel.handler(given as never, context(2))) as { runId: string; epochs: number };
    assert.equal((await stat(best)).mtimeMs, made, "the model was made again");
    assert.equal(trained.epochs, 2);
    assert.equal(lines.filter((line) => line.startsWith("epoch")).length, 0);
    const { run } = (await get(`runs/get?run_id=${trained.runId}`)) as { run: { info: { status: string }; data: { params: { key: string }[] } } };
    assert.equal(run.info.status, "FINISHED");
    assert.ok(run.data.params.some(({ key }) => key === "imgsz"));
    const history = (await get(`metrics/get-history?run_id=${trained.runId}&metric_key=train/box_loss`)) as { metrics: { step: number }[] };
    assert.deepEqual(history.metrics.map(({ step }) => step).toSorted(), [1, 2]);
    const { files } = (await get(`artifacts/list?run_id=${trained.runId}&path=weights`)) as { files: { path: string }[] };
    assert.deepEqual(files.map((file) => path.basename(file.path)).toSorted(), ["best.pt", "best.safetensors", "last.safetensors"]);
  }).timeout(180_000);

  it("says what to lower when TensorFlow gets no memory", () => {
    // 4 EiB: more than any address space, so that no machine gives it.
    let thrown: unknown;
    try {
      tf.tidy(() => tf.fill([2 ** 30, 2 ** 30], 1));
    } catch (error) {
      thrown = error;
    }
    const { message, hopeless } = failure(thrown);
    assert.match(message, /there was not enough memory: lower batch, imgsz or the model's size/);
    assert.ok(hopeless);
    assert.equal(failure(new Error("a socket closed")).hopeless, false);
  }).timeout(60_000);
});

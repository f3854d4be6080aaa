// The inference service under load, against ONNX Runtime alone and against the usual service in Python, on the same cores:
//
//   node --import tsx bench/serve.ts [seconds of a run]
//
// One ONNX file (yolov8n, 640 px, three classes) and the same JPEGs (1280 × 960) for all. Needs scripts/python/bench-serving.lock in
// .venv-bench (made here where it is missing). Each figure is the median of the rounds (of an even number
// the higher of the middle two), in which everything has its turn.
import { type ChildProcess, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { availableParallelism, tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { execa } from "execa";
import { serviceAllocation } from "../inference/src/allocation.ts";
import { initialWeights, layoutOf } from "../yolo/src/nn/parameters.ts";
import { calibrate } from "../yolo/src/onnx/calibrate.ts";
import { exportOnnx } from "../yolo/src/onnx/export.ts";
import { loadPicture } from "../yolo/src/train/pictures.ts";
import type { LoadResult } from "./serving/load.ts";
import { makePictures } from "./serving/pictures.ts";

const root = fileURLToPath(new URL("../", import.meta.url));
const seconds = Number(process.argv[2] ?? 12);
const rounds = Number(process.env["ROUNDS"] ?? 3);
const cores = availableParallelism();
const labels = ["a", "b", "c"];
const side = 640;
/** Another for each service: one that did not go away would answer in place of the next. */
let port = 18_900;
const nextPort = () => String(++port);
const url = () => `http://127.0.0.1:${port}`;
const python = path.join(root, ".venv-bench/bin/python");

if (!existsSync(python)) {
  await execa("python3", ["-m", "venv", path.join(root, ".venv-bench")]);
  await execa(path.join(root, ".venv/bin/uv"), ["pip", "install", "--python", python, "--require-hashes", "-r", "scripts/python/bench-serving.lock"], {
    cwd: root,
  });
}

const folder = await mkdtemp(path.join(tmpdir(), "bench-serve-"));
const pictures = path.join(folder, "pictures");
await makePictures(pictures, 24);

/** The model folders: the network in 32 and in 8 bits, with free sides. */
async function makeModels(): Promise<Record<"full" | "int8", string>> {
  const config = { size: "n", classes: labels.length } as const;
  const layout = layoutOf(config);
  const weights = initialWeights(layout, 0);
  const shown = await Promise.all([0, 1, 2, 3].map((n) => loadPicture({ file: path.join(pictures, `00${n}.jpg`), objects: [] }, side)));
  const ranges = calibrate(config, layout, weights, shown, side);
  const write = async (name: string, onnx: Uint8Array) => {
    const place = path.join(folder, name);
    await execa("mkdir", ["-p", place]);
    const manifest = {
      name: "bench",
      version: name,
      file: "best.onnx",
      sha256: createHash("sha256").update(onnx).digest("hex"),
      labels,
      imgsz: side,
      runId: "",
      datasetCommit: "",
      metrics: {},
      createdAt: "",
    };
    await writeFile(path.join(place, "best.onnx"), onnx);
    await writeFile(path.join(place, "manifest.json"), JSON.stringify(manifest));
    return place;
  };
  return {
    full: await write("full", exportOnnx(config, layout, weights, { side, labels })),
    int8: await write("int8", exportOnnx(config, layout, weights, { side, labels, ranges })),
  };
}

type Env = Readonly<Record<string, string>>;

const running = new Set<number>();
process.once("exit", () => {
  for (const pid of running) process.kill(-pid, "SIGKILL");
});

/** A service that answers on the port; `stop` waits until it is gone. */
async function start(command: string, args: readonly string[], env: Env, ready: string): Promise<() => Promise<void>> {
  const child: ChildProcess = spawn(command, [...args], { cwd: root, env: { ...process.env, ...env }, stdio: ["ignore", "ignore", "inherit"], detached: true });
  running.add(child.pid!);
  const gone = new Promise<void>((resolve) => child.once("exit", () => (running.delete(child.pid!), resolve())));
  const stop = async () => {
    process.kill(-child.pid!, "SIGTERM");
    const timer = setTimeout(() => process.kill(-child.pid!, "SIGKILL"), 5000);
    await gone;
    clearTimeout(timer);
  };
  for (let i = 0; i < 300; i++) {
    const answer = await fetch(`${url()}${ready}`).catch(() => undefined);
    if (answer?.ok) return stop;
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  await stop();
  throw new Error(`${command} did not answer within a minute`);
}

const airloom =
  (model: string, env: Env = {}) =>
  () =>
    start(
      process.execPath,
      ["--import", "tsx", "inference/src/main.ts"],
      { MODEL_DIR: model, INFERENCE_PORT: nextPort(), INFERENCE_LOG_LEVEL: "warn", INFERENCE_QUEUE: "64", ...serviceAllocation, ...env },
      "/readyz",
    );
const fastapi = (model: string, workers: number, threads: number) => () =>
  start(
    python,
    ["-m", "uvicorn", "fastapi_service:app", "--app-dir", "bench/serving", "--port", nextPort(), "--workers", String(workers), "--log-level", "warning"],
    { MODEL: path.join(model, "best.onnx"), SIDE: String(side), THREADS: String(threads) },
    "/healthz",
  );

async function load(mode: "closed" | "open", amount: number, forSeconds = seconds): Promise<LoadResult> {
  const { stdout } = await execa(process.execPath, [
    "--import",
    "tsx",
    path.join(root, "bench/serving/load.ts"),
    url(),
    pictures,
    String(forSeconds),
    mode,
    String(amount),
  ]);
  return JSON.parse(stdout) as LoadResult;
}

/** How many runs a second ONNX Runtime alone makes: a process a core, one thread each. */
async function alone(model: string): Promise<number> {
  const args = ["--import", "tsx", path.join(root, "bench/serving/runtime-alone.ts"), path.join(model, "best.onnx"), String(side), String(seconds)];
  const all = await Promise.all(Array.from({ length: cores }, () => execa(process.execPath, args)));
  return all.reduce((sum, { stdout }) => sum + (JSON.parse(stdout) as { perSecond: number }).perSecond, 0);
}

const median = (values: readonly number[]) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!;
const note = (text: string) => console.log(`${new Date().toISOString().slice(11, 19)}  ${text}`);

interface Measured {
  readonly at8: number[];
  readonly at64: number[];
  readonly p99: number[];
}

async function measure(name: string, begin: () => Promise<() => Promise<void>>, into: Measured, rate: number | undefined): Promise<void> {
  const stop = await begin();
  try {
    await load("closed", 4, 3);
    const [at8, at64] = [await load("closed", 8), await load("closed", 64)];
    into.at8.push(at8.perSecond);
    into.at64.push(at64.perSecond);
    const steady = rate === undefined ? undefined : await load("open", rate, seconds * 2);
    if (steady) into.p99.push(steady.p99);
    note(
      `${name}: ${at8.perSecond.toFixed(1)} and ${at64.perSecond.toFixed(1)} a second at 8 and 64 connections (p99 ${at8.p99.toFixed(0)}, ${at64.p99.toFixed(0)} ms)${steady ? `; p99 ${steady.p99.toFixed(0)} ms at ${rate!.toFixed(1)} a second` : ""} ${JSON.stringify(at64.statuses)}`,
    );
  } finally {
    await stop();
  }
}

/** The service in Python with the workers and threads that serve most on this machine. */
async function tune(model: string): Promise<[number, number]> {
  const tried: { setting: [number, number]; perSecond: number }[] = [];
  for (const setting of [
    [1, cores],
    [cores, 1],
    [cores + 1, 1],
    [cores * 2, 1],
  ] as [number, number][]) {
    const stop = await fastapi(model, ...setting)();
    await load("closed", 4, 3);
    const { perSecond } = await load("closed", 8, 6);
    await stop();
    note(`FastAPI with ${setting[0]} workers of ${setting[1]} threads: ${perSecond.toFixed(1)} a second`);
    tried.push({ setting, perSecond });
  }
  return tried.toSorted((a, b) => b.perSecond - a.perSecond)[0]!.setting;
}

/** What the service says of itself while three times as much comes as it can take. */
async function overload(model: string, capacity: number): Promise<void> {
  const stop = await airloom(model)();
  try {
    await load("closed", 8, 3);
    // Reading resets it.
    await eventLoopDelay();
    const result = await load("open", capacity * 3, seconds);
    const delay = await eventLoopDelay();
    note(
      `overload, ${(capacity * 3).toFixed(0)} a second: ${result.perSecond.toFixed(1)} answered a second, ${JSON.stringify(result.statuses)}; 429 within ${result.busyP99.toFixed(1)} ms (p99), event loop p99 ${delay.toFixed(1)} ms`,
    );
    const text = await (await fetch(`${url()}/metrics`)).text();
    const stage = (name: string) => Number(new RegExp(`stage_seconds_sum\\{stage="${name}"\\} (\\S+)`).exec(text)![1]);
    const [pre, run, post] = [stage("preprocess"), stage("inference"), stage("postprocess")];
    note(`under that load, before and after the network: ${((100 * (pre + post)) / (pre + run + post)).toFixed(1)} % of a picture's time`);
  } finally {
    await stop();
  }
}

/** Node samples the event loop's delay so often; what it reports has the interval in it. */
const samplingMs = 10;

/** The p99 of the event loop's delay since the last reading, ms. */
async function eventLoopDelay(): Promise<number> {
  const text = await (await fetch(`${url()}/metrics`)).text();
  return Number(/^nodejs_eventloop_lag_p99_seconds (\S+)/m.exec(text)![1]) * 1000 - samplingMs;
}

/** Stages of a picture with nothing beside it. */
async function stagesAlone(model: string): Promise<void> {
  const stop = await airloom(model, { INFERENCE_WORKERS: "1", INFERENCE_THREADS: "1" })();
  try {
    await load("closed", 1, 3);
    const total = { preprocess: 0, inference: 0, postprocess: 0 };
    const jpeg = await readFile(path.join(pictures, "000.jpg"));
    for (let i = 0; i < 40; i++) {
      const form = new FormData();
      form.set("file", new Blob([jpeg]), "p.jpg");
      const { images } = (await (await fetch(`${url()}/predict`, { method: "POST", body: form })).json()) as { images: { speed: typeof total }[] };
      for (const name of ["preprocess", "inference", "postprocess"] as const) total[name] += images[0]!.speed[name] / 40;
    }
    const share = (100 * (total.preprocess + total.postprocess)) / (total.preprocess + total.inference + total.postprocess);
    note(
      `one at a time: ${total.preprocess.toFixed(1)} + ${total.inference.toFixed(1)} + ${total.postprocess.toFixed(1)} ms; ${share.toFixed(1)} % before and after the network`,
    );
  } finally {
    await stop();
  }
}

try {
  const models = await makeModels();
  const setting = await tune(models.full);
  const empty = (): Measured => ({ at8: [], at64: [], p99: [] });
  const [ours, theirs, small] = [empty(), empty(), empty()];
  const limits: number[] = [];
  let rate: number | undefined;
  for (let round = 0; round < rounds; round++) {
    limits.push(await alone(models.full));
    note(`ONNX Runtime alone, ${cores} processes of one thread: ${limits.at(-1)!.toFixed(1)} a second`);
    await measure(`FastAPI (${setting[0]} × ${setting[1]})`, fastapi(models.full, ...setting), theirs, rate);
    // The same rate for both: 70 % of what the slower one can.
    rate ??= 0.7 * theirs.at8[0]!;
    await measure("Airloom", airloom(models.full), ours, rate);
    await measure("Airloom, 8 bits", airloom(models.int8), small, undefined);
  }
  await overload(models.full, median(ours.at64));
  await stagesAlone(models.full);
  const [limit, base] = [median(limits), median(theirs.at8)];
  const row = (name: string, value: number) => `| ${name} | ${value.toFixed(1)} | ${(value / limit).toFixed(2)} × | ${(value / base).toFixed(2)} × |`;
  console.log(`\n| pictures a second | | of ONNX Runtime alone | of FastAPI |\n|---|---|---|---|`);
  console.log(row(`ONNX Runtime alone, ${side} × ${side}`, limit));
  console.log(row(`FastAPI, ${setting[0]} workers, 8 connections`, base));
  console.log(row("FastAPI, 64 connections", median(theirs.at64)));
  console.log(row("Airloom, 8 connections", median(ours.at8)));
  console.log(row("Airloom, 64 connections", median(ours.at64)));
  console.log(row("Airloom in 8 bits, 8 connections", median(small.at8)));
  console.log(row("Airloom in 8 bits, 64 connections", median(small.at64)));
  console.log(
    `\np99 at ${rate!.toFixed(1)} a second: Airloom ${median(ours.p99).toFixed(0)} ms, FastAPI ${theirs.p99.length ? median(theirs.p99).toFixed(0) : "-"} ms`,
  );
} finally {
  await rm(folder, { recursive: true, force: true });
}

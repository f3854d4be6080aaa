import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { readServiceSettings } from "../src/settings.ts";
import { patientMs, waitFor } from "../../test/patience.ts";
import { descendantsOf } from "../../test/processes.ts";
import { manifestOf, photo, postPictures, someOnnx, writeModel } from "./running-service.ts";

const main = fileURLToPath(new URL("../src/main.ts", import.meta.url));

describe("the inference service's process", () => {
  let folder: string;
  let child: ChildProcess | undefined;
  before(async () => {
    folder = await mkdtemp(path.join(tmpdir(), "process-"));
    const onnx = someOnnx(1);
    await writeModel(folder, onnx, manifestOf(onnx));
  });
  afterEach(() => child?.kill("SIGKILL"));
  after(() => rm(folder, { recursive: true, force: true }));

  /** Starts it on a free port; resolves when it listens. */
  async function start(env: Record<string, string> = {}): Promise<{ url: string; output: () => string; ended: Promise<number | null> }> {
    let output = "";
    const started = spawn(process.execPath, ["--import", "tsx", main], {
      env: { ...process.env, MODEL_DIR: folder, INFERENCE_PORT: "0", INFERENCE_WORKERS: "1", ...env },
      stdio: ["ignore", "pipe", "pipe"],
    });
    child = started;
    const ended = new Promise<number | null>((resolve) => started.once("exit", (code) => resolve(code)));
    const url = await new Promise<string>((resolve, reject) => {
      const look = (data: Buffer) => {
        output += data.toString();
        const at = /listens on (http:\/\/[\d.:]+)/.exec(output)?.[1];
        if (at) resolve(at);
      };
      started.stdout.on("data", look);
      started.stderr.on("data", look);
      void ended.then((code) => reject(new Error(`it ended with ${code}: ${output}`)));
    });
    return { url, output: () => output, ended };
  }

  const ready = async (url: string) => {
    await waitFor(async () => (await fetch(`${url}/readyz`)).ok, { what: "the service to be ready" });
  };

  it("answers all it has taken when it is told to stop, takes nothing new, and ends with 0", async () => {
    const most = String(patientMs(60_000));
    const { url, ended } = await start({ INFERENCE_DRAIN_GRACE_MS: "3000", INFERENCE_DRAIN_MS: most, INFERENCE_DEADLINE_MS: most, INFERENCE_MAX_BATCH: "1" });
    await ready(url);
    const picture = await photo();
    // Its only worker is held, with a picture that it computes and one that comes next, until it has been told to stop.
    const worker = descendantsOf([child!.pid!]).find(({ args }) => args.some((each) => each.endsWith("engine/worker.ts")))!;
    process.kill(worker.pid, "SIGSTOP");
    const answers = Array.from({ length: 40 }, () => postPictures(url, [picture]).then(({ status }) => status));
    const waiting = async () => /^airloom_inference_waiting (\d+)/m.exec(await (await fetch(`${url}/metrics`)).text())?.[1];
    await waitFor(async () => (await waiting()) === "38", { what: "38 pictures to wait" });
    child!.kill("SIGTERM");
    await waitFor(async () => (await fetch(`${url}/readyz`)).status === 503, { what: "the service to say that it ends" });
    // A balancer that asks is told to send nothing more.
    const status = await fetch(`${url}/readyz`);
    assert.equal(status.status, 503);
    assert.match(await status.text(), /stopping/);
    process.kill(worker.pid, "SIGCONT");
    assert.deepEqual([...new Set(await Promise.all(answers))], [200]);
    assert.equal(await ended, 0);
    await assert.rejects(fetch(`${url}/healthz`));
  }).timeout(60_000);

  it("logs a line of JSON for each request, with its id and without its picture", async () => {
    const { url, output } = await start();
    await ready(url);
    await postPictures(url, [await photo()], { headers: { "X-Request-Id": "mine" } });
    const find = () =>
      output()
        .split("\n")
        .find((each) => each.includes('"mine"'));
    // It is written when the connection is done with, which may be after the answer.
    const line = await waitFor(find, { what: "the request's line in the log" });
    const { requestId, method, path: place, status, ms, whole } = JSON.parse(line) as Record<string, unknown>;
    assert.deepEqual({ requestId, method, place, status, whole }, { requestId: "mine", method: "POST", place: "/predict", status: 200, whole: true });
    assert.equal(typeof ms, "number");
  }).timeout(60_000);

  it("ends a request that is sent drop by drop", async () => {
    const { url } = await start({ INFERENCE_REQUEST_TIMEOUT_MS: "1000" });
    const socket = connect(Number(new URL(url).port), "127.0.0.1");
    let got = "";
    socket.on("data", (data) => (got += data.toString()));
    socket.on("error", () => undefined);
    socket.write("POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=b\r\nContent-Length: 100000\r\n\r\n--b\r\n");
    const drops = setInterval(() => socket.write("x"), 100);
    await new Promise((resolve) => socket.once("close", resolve));
    clearInterval(drops);
    assert.match(got, /^HTTP\/1\.1 408[^]*the request was not sent whole/);
    // So long an address, and what is no HTTP at all, are told so too.
    assert.match(await (await fetch(`${url}/predict?conf=${"1".repeat(20_000)}`)).text(), /larger than 16 KiB/);
    assert.ok((await fetch(`${url}/healthz`)).ok);
  }).timeout(60_000);

  it("says which variable is wrong", () => {
    assert.throws(
      () => readServiceSettings({ INFERENCE_PORT: "x", INFERENCE_API_KEY: "short", FEEDBACK_SHARE: "2" }),
      /INFERENCE_PORT: .*INFERENCE_API_KEY: has to have at least 16 characters.*FEEDBACK_SHARE: /,
    );
    assert.equal(readServiceSettings({ INFERENCE_PORT: "" }).port, 8000);
    assert.equal(readServiceSettings({}).feedback, undefined);
  });
});

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import type { AddressInfo, Server } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { Ajv2020 } from "ajv/dist/2020.js";
import { pino } from "pino";
import sharp from "sharp";
import { initialWeights, layoutOf } from "@airloom/yolo/nn/parameters.ts";
import { exportOnnx } from "@airloom/yolo/onnx/export.ts";
import { inferenceApp } from "../src/app.ts";
import { openApiDocument } from "../src/http/openapi.ts";
import { ModelHost } from "../src/model/model-host.ts";

const labels = ["circle", "square", "triangle"];
const side = 64;

/** Publishes an untrained model the way the pipeline does. */
async function publish(folder: string, { seed, version, damage }: { seed: number; version: string; damage?: "bytes" | "labels" }): Promise<void> {
  const config = { size: "n", classes: 3 } as const;
  const layout = layoutOf(config);
  const onnx = Buffer.from(exportOnnx(config, layout, initialWeights(layout, seed), { side, labels }));
  const sha256 = createHash("sha256").update(onnx).digest("hex");
  if (damage === "bytes") onnx[onnx.length - 20]! ^= 255;
  const manifest = {
    name: "m",
    version,
    file: "best.onnx",
    sha256,
    labels: damage === "labels" ? ["only one", "and two"] : labels,
    imgsz: side,
    runId: "r",
    datasetCommit: "c",
    metrics: {},
    createdAt: "2026-01-01T00:00:00Z",
  };
  await writeFile(path.join(folder, "best.onnx"), onnx);
  await writeFile(path.join(folder, "manifest.json"), JSON.stringify(manifest));
}

describe("the inference service", () => {
  let folder: string;
  let host: ModelHost;
  let server: Server;
  let url: string;
  const photo = (format: "jpeg" | "png" | "webp" | "gif" | "tiff" = "jpeg") =>
    sharp({ create: { width: 120, height: 90, channels: 3, background: "#3a7" } })
      [format]()
      .toBuffer();

  before(async () => {
    folder = await mkdtemp(path.join(tmpdir(), "model-"));
    host = new ModelHost(folder, { threads: 1, log: pino({ level: "silent" }) });
    server = await new Promise<Server>((resolve) => {
      const listening: Server = inferenceApp(host, pino({ level: "silent" })).listen(0, "127.0.0.1", () => resolve(listening));
    });
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  });
  after(async () => {
    host.close();
    server.close();
    await rm(folder, { recursive: true, force: true });
  });

  const predict = async (data: Uint8Array | undefined, { field = "file", query = "" } = {}) => {
    const form = new FormData();
    if (data) form.set(field, new Blob([new Uint8Array(data)]), "test.jpg");
    const response = await fetch(`${url}/predict${query}`, { method: "POST", body: form });
    const body = (await response.json()) as never;
    fits(response.status, body);
    return {
      status: response.status,
      headers: response.headers,
      body: body as { error: { code: string; message: string }; images: { shape: number[]; results: unknown[] }[]; metadata: { model: { version: string } } },
    };
  };

  /** Holds an answer of /predict against the OpenAPI document. */
  function fits(status: number, body: unknown): void {
    const document = openApiDocument("0");
    const responses = document.paths["/predict"].post.responses as Record<number, { content: { "application/json": { schema: object } } }>;
    const answer = responses[status];
    assert.ok(answer, `status ${status} does not stand in the OpenAPI document`);
    const validate = new Ajv2020({ strict: false }).compile({ ...answer.content["application/json"].schema, components: document.components });
    assert.ok(validate(body), JSON.stringify(validate.errors));
  }

  it("answers 503 without a model, and says how to get one", async () => {
    const { status, body, headers } = await predict(await photo());
    assert.equal(status, 503);
    assert.match(body.error.message, /training_pipeline/);
    assert.ok(headers.get("retry-after"));
    assert.equal((await fetch(`${url}/readyz`)).status, 503);
    assert.equal((await fetch(`${url}/healthz`)).status, 200);
  });

  it("takes a model that appears, and answers as its OpenAPI document says", async () => {
    await publish(folder, { seed: 1, version: "1" });
    await host.refresh();
    const { status, body } = await predict(await photo(), { query: "?conf=0" });
    assert.equal(status, 200);
    assert.deepEqual(body.images[0]!.shape, [90, 120]);
    assert.equal(body.metadata.model.version, "1");
    assert.ok(body.images[0]!.results.length > 0);
    assert.equal((await fetch(`${url}/readyz`)).status, 200);
  }).timeout(30_000);

  it("gives boxes in the picture as a person sees it: EXIF rotation swaps the sides", async () => {
    const rotated = await sharp(await photo())
      .withMetadata({ orientation: 6 })
      .jpeg()
      .toBuffer();
    const { body } = await predict(rotated);
    assert.deepEqual(body.images[0]!.shape, [120, 90]);
  });

  it("says what is wrong with a bad request", async () => {
    const whole = await photo();
    const bomb = await sharp({ create: { width: 9000, height: 9000, channels: 3, background: "red" } })
      .png()
      .toBuffer();
    const cases: [string, number, () => Promise<{ status: number; body: { error: { code: string } } }>][] = [
      ["no_file", 400, () => predict(undefined)],
      ["unexpected_file", 400, () => predict(whole, { field: "image" })],
      ["empty_file", 400, () => predict(Buffer.alloc(0))],
      ["bad_image", 415, () => predict(Buffer.from("hello"))],
      ["bad_image", 415, () => predict(whole.subarray(0, whole.length / 2))],
      ["bad_image", 415, () => photo("gif").then((data) => predict(data))],
      ["bad_image", 415, () => photo("tiff").then((data) => predict(data))],
      ["bad_image", 415, () => predict(Buffer.from('<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>'))],
      ["bad_image", 415, () => predict(bomb)],
      ["too_large", 413, () => predict(Buffer.alloc(33 * 1024 * 1024))],
      ["bad_query", 422, () => predict(whole, { query: "?conf=2" })],
      ["bad_query", 422, () => predict(whole, { query: "?max_det=x" })],
    ];
    for (const [code, status, run] of cases) {
      const answer = await run();
      assert.deepEqual([answer.status, answer.body.error.code], [status, code]);
    }
    const broken = await fetch(`${url}/predict`, {
      method: "POST",
      headers: { "Content-Type": "multipart/form-data; boundary=x" },
      body: "--x\r\nContent-Disposition: form-data; na",
    });
    assert.equal(broken.status, 400);
    const json = await fetch(`${url}/predict`, { method: "POST", headers: { "Content-Type": "application/json" }, body: "{}" });
    assert.equal(json.status, 400);
  }).timeout(30_000);

  it("keeps the old model when a new one is damaged or does not fit, says so, and takes the next good one", async () => {
    for (const [damage, why] of [
      ["bytes", /SHA-256/],
      ["labels", /2 labels need \[1, 6, anchors\]/],
    ] as const) {
      await publish(folder, { seed: 2, version: "2", damage });
      await host.refresh();
      assert.match(host.status.problem ?? "", why);
      assert.equal((await predict(await photo())).body.metadata.model.version, "1");
    }
    await publish(folder, { seed: 3, version: "3" });
    await host.refresh();
    assert.equal(host.status.problem, undefined);
    assert.equal((await predict(await photo())).body.metadata.model.version, "3");
  }).timeout(60_000);

  it("loses no request while a model is replaced", async () => {
    const image = await photo();
    let changing = true;
    const change = publish(folder, { seed: 4, version: "4" })
      .then(() => host.refresh())
      .finally(() => (changing = false));
    const answers: number[] = [];
    while (changing) answers.push(...(await Promise.all([predict(image), predict(image)])).map(({ status }) => status));
    await change;
    assert.ok(answers.length > 0);
    assert.deepEqual([...new Set(answers)], [200]);
  }).timeout(60_000);

  it("shows Swagger UI from its own files", async () => {
    const page = await (await fetch(`${url}/docs`)).text();
    assert.match(page, /swagger-ui-bundle\.js/);
    assert.doesNotMatch(page, /https?:\/\//);
    for (const file of ["swagger-ui.css", "swagger-ui-bundle.js", "start.js"]) assert.equal((await fetch(`${url}/docs/${file}`)).status, 200, file);
    assert.equal(((await (await fetch(`${url}/openapi.json`)).json()) as { openapi: string }).openapi, "3.1.0");
  });
});

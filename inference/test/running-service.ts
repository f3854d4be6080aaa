import { createHash } from "node:crypto";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import type { Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { initialWeights, layoutOf } from "@airloom/yolo/nn/parameters.ts";
import { exportOnnx } from "@airloom/yolo/onnx/export.ts";
import { pino } from "pino";
import sharp from "sharp";
import { type AppParts, inferenceApp } from "../src/app.ts";
import type { PoolOptions } from "../src/engine/model-pool.ts";
import { answerClientErrors } from "../src/http/client-errors.ts";
import { serviceMetrics, type ServiceMetrics } from "../src/http/metrics.ts";
import type { Manifest } from "../src/model/manifest.ts";
import { ModelHost } from "../src/model/model-host.ts";
import { patientMs } from "../../test/patience.ts";
import { descendantsOf } from "../../test/processes.ts";

export const labels = ["circle", "square", "triangle"];
export const side = 64;
export const silent = pino({ level: "silent" });

export const poolOptions: PoolOptions = {
  workers: 1,
  threads: 1,
  maxWaiting: 64,
  maxBatch: 1,
  batching: "auto",
  batchDelayMs: 0,
  deadlineMs: patientMs(30_000),
};

/** The model workers below a process. */
export const workersOf = (pid: number) =>
  descendantsOf([pid])
    .filter(({ args, zombie }) => !zombie && args.some((arg) => arg.endsWith("engine/worker.ts")))
    .map((worker) => worker.pid);

const config = { size: "n", classes: 3 } as const;
const layout = layoutOf(config);

/** An untrained model; its seed decides its numbers. It is sure of nothing, or, if it has to be, of half of everything. */
export function someOnnx(seed: number, { sure = false } = {}): Buffer {
  const weights = initialWeights(layout, seed);
  if (sure) for (const level of ["p3", "p4", "p5"]) weights.parameters.fill(0, ...spanOf(`head.${level}.cls.out.bias`));
  return Buffer.from(exportOnnx(config, layout, weights, { side, labels }));
}

function spanOf(name: string): [number, number] {
  const { offset, length } = layout.slots.get(name)!;
  return [offset, offset + length];
}

export function manifestOf(onnx: Uint8Array, more: Partial<Manifest> = {}): Manifest {
  return {
    name: "m",
    version: "1",
    file: "best.onnx",
    sha256: createHash("sha256").update(onnx).digest("hex"),
    labels,
    imgsz: side,
    runId: "r",
    datasetCommit: "c",
    metrics: {},
    createdAt: "2026-01-01T00:00:00Z",
    ...more,
  };
}

/** Writes a model into a folder as the pipeline does: the manifest last. */
export async function writeModel(folder: string, onnx: Uint8Array, manifest: Manifest): Promise<void> {
  await mkdir(folder, { recursive: true });
  await writeFile(path.join(folder, manifest.file), onnx);
  await writeFile(path.join(folder, "manifest.json"), JSON.stringify(manifest));
}

export const photo = (format: "jpeg" | "png" | "webp" | "gif" | "tiff" = "jpeg", width = 120, height = 90) =>
  sharp({ create: { width, height, channels: 3, background: "#3a7" } })
    [format]()
    .toBuffer();

/** A service on a port of its own, over an empty model folder. */
export interface RunningService {
  readonly folder: string;
  readonly host: ModelHost;
  readonly metrics: ServiceMetrics;
  readonly url: string;
  stop(): Promise<void>;
}

export async function startService(
  parts: Partial<Omit<AppParts, "host" | "metrics">> = {},
  pool: Partial<PoolOptions> = {},
  maxExtraModels = 1,
): Promise<RunningService> {
  const folder = await mkdtemp(path.join(tmpdir(), "model-"));
  const metrics = serviceMetrics({ runtime: false });
  const host = new ModelHost(folder, { pool: { ...poolOptions, ...pool }, maxExtraModels, log: silent, events: metrics.hostEvents });
  metrics.watch(host);
  const server = await new Promise<Server>((resolve) => {
    const listening = inferenceApp({ log: silent, ...parts, host, metrics }).listen(0, "127.0.0.1", () => resolve(listening));
    answerClientErrors(listening);
  });
  return {
    folder,
    host,
    metrics,
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async stop() {
      host.close();
      server.close();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** Sends pictures to /predict; `query` begins with "?". */
export async function postPictures(
  url: string,
  pictures: readonly Uint8Array[],
  { query = "", field = "file", headers = {}, fields = {} as Record<string, string> } = {},
) {
  const form = new FormData();
  for (const [name, value] of Object.entries(fields)) form.set(name, value);
  pictures.forEach((picture, i) => form.append(field, new Blob([new Uint8Array(picture)]), `test-${i}.jpg`));
  return fetch(`${url}/predict${query}`, { method: "POST", body: form, headers });
}

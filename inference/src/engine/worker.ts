// A model's own process: everything that computes happens here, so that the service always answers.
import { createReadStream } from "node:fs";
import sharp from "sharp";
import { Detector, type Ready } from "./detector.ts";
import { drawDetections } from "./draw.ts";
import { type DetectJob, type DetectResult, type FromWorker, type Job, type LoadMessage, modelPipe, type TensorJob, type ToWorker } from "./messages.ts";
import { BadImageError } from "./preprocess.ts";
import { answerTensorCall, BadCallError } from "./tensor-call.ts";

interface Entry<J extends Job = Job> {
  readonly id: number;
  readonly job: J;
}

// One thread a picture and nothing kept: the service computes many pictures at once, and each only once.
sharp.concurrency(1);
sharp.cache(false);

const send = (message: FromWorker) => void process.send!(message);
const bytesOf = (data: Uint8Array) => Buffer.from(data.buffer, data.byteOffset, data.byteLength);

/** Jobs that are not answered yet, and whether their clients have gone away. */
const open = new Map<number, { cancelled: boolean }>();
let loaded: { detector: Detector; labels: readonly string[] } | undefined;
/** The network is one at a time; the pictures of the next batch are decoded meanwhile. */
let network: Promise<void> = Promise.resolve();

async function readModel(length: number): Promise<Buffer> {
  const onnx = Buffer.allocUnsafeSlow(length);
  let at = 0;
  for await (const chunk of createReadStream("", { fd: modelPipe })) at += (chunk as Buffer).copy(onnx, at);
  if (at !== length) throw new Error(`${at} of the model's ${length} bytes have arrived`);
  return onnx;
}

async function load({ onnxBytes, maxBatch, batching, ...options }: LoadMessage): Promise<void> {
  try {
    const detector = await Detector.load(await readModel(onnxBytes), options);
    loaded = { detector, labels: options.labels };
    send({ kind: "ready", batch: await (batching === "always" ? detector.tryBatch(maxBatch) : detector.bestBatch(maxBatch)) });
  } catch (error) {
    send({ kind: "unfit", message: (error as Error).message });
  }
}

function fail(id: number, error: unknown): void {
  const isClients = error instanceof BadImageError || error instanceof BadCallError;
  send({ kind: "failed", id, message: (error as Error).message, isClients });
}

/** Nobody waits for the answer, but the pool counts it. */
function refuseCancelled(id: number): void {
  if (open.get(id)!.cancelled) throw new Error("the client has gone away");
}

/** Answers with what `work` gives, or why it failed. */
async function answer<T>(id: number, work: () => Promise<T>): Promise<T | undefined> {
  try {
    return await work();
  } catch (error) {
    fail(id, error);
    return undefined;
  }
}

async function detect(entries: readonly (Entry<DetectJob> & { readonly decoding: Promise<Ready> })[]): Promise<void> {
  const { detector, labels } = loaded!;
  const ready: { entry: Entry<DetectJob>; picture: Ready }[] = [];
  for (const entry of entries) {
    const picture = await answer(entry.id, async () => {
      const decoded = await entry.decoding;
      refuseCancelled(entry.id);
      return decoded;
    });
    if (picture) ready.push({ entry, picture });
  }
  const found = await detector.detectReady(ready.map(({ picture }) => picture)).catch((error: unknown) => {
    for (const { entry } of ready) fail(entry.id, error);
    return undefined;
  });
  if (!found) return;
  for (const [i, { entry }] of ready.entries()) {
    const { image, draw } = entry.job;
    const result = await answer(entry.id, async (): Promise<DetectResult> =>
      draw ? { found: found[i]!, drawn: await drawDetections(bytesOf(image), found[i]!, labels) } : { found: found[i]! },
    );
    if (result) send({ kind: "done", id: entry.id, result });
  }
}

async function callTensor({ id, job }: Entry<TensorJob>): Promise<void> {
  const result = await answer(id, async () => {
    refuseCancelled(id);
    return answerTensorCall(job, (images) => loaded!.detector.run(images));
  });
  if (result) send({ kind: "done", id, result });
}

function take(jobs: readonly Entry[]): void {
  for (const { id } of jobs) open.set(id, { cancelled: false });
  const pictures = jobs
    .filter((entry): entry is Entry<DetectJob> => entry.job.kind === "detect")
    .map((entry) => {
      const decoding = loaded!.detector.ready(bytesOf(entry.job.image), entry.job.options);
      // It is awaited when the network is free; until then its failure is nobody's.
      decoding.catch(() => undefined);
      return { ...entry, decoding };
    });
  const tensors = jobs.filter((entry): entry is Entry<TensorJob> => entry.job.kind === "tensor");
  network = network.then(async () => {
    if (pictures.length > 0) await detect(pictures);
    for (const entry of tensors) await callTensor(entry);
    for (const { id } of jobs) open.delete(id);
  });
}

process.on("message", (message: ToWorker) => {
  switch (message.kind) {
    case "load":
      void load(message);
      break;
    case "batch":
      take(message.jobs);
      break;
    case "cancel": {
      const job = open.get(message.id);
      if (job) job.cancelled = true;
      break;
    }
  }
});
process.on("disconnect", () => process.exit());

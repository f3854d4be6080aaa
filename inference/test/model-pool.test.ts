import assert from "node:assert/strict";
import { type DetectJob } from "../src/engine/messages.ts";
import { BusyError, ModelPool, type PoolOptions, RefusedError, UnavailableError } from "../src/engine/model-pool.ts";
import { waitFor } from "../../test/patience.ts";
import { manifestOf, photo, poolOptions, silent, someOnnx, workersOf } from "./running-service.ts";

const workerPids = () => workersOf(process.pid);

describe("a pool of workers", () => {
  const onnx = someOnnx(1);
  let picture: Buffer;
  let pool: ModelPool | undefined;
  const batches: number[] = [];
  let deaths = 0;
  before(async () => {
    picture = await photo();
  });
  beforeEach(() => {
    batches.length = 0;
    deaths = 0;
  });
  afterEach(() => pool?.kill());

  const start = async (options: Partial<PoolOptions> = {}) => {
    pool = await ModelPool.start(
      manifestOf(onnx),
      onnx,
      { ...poolOptions, ...options },
      { onBatch: (size) => batches.push(size), onWorkerDeath: () => deaths++ },
      silent,
    );
    return pool;
  };
  const job = (image = picture): Omit<DetectJob, "kind"> => ({ image, options: { minScore: 0.25, maxIou: 0.7, maxDetections: 10 }, draw: false });

  it("answers with several workers at once, and refuses what is beyond its queue at once", async () => {
    const some = await start({ workers: 2, maxWaiting: 5 });
    // 2 workers × 2 batches ahead are taken at once, 5 wait.
    const results = await Promise.allSettled(Array.from({ length: 20 }, () => some.detect(job())));
    assert.equal(results.filter(({ status }) => status === "fulfilled").length, 9);
    assert.ok(results.every((result) => result.status === "fulfilled" || result.reason instanceof BusyError));
  }).timeout(30_000);

  it("gives workers whole batches, and waits for others no longer than it should", async () => {
    const some = await start({ maxBatch: 1 });
    assert.equal(some.batchSize, 1);
    some.kill();
    const many = await start({ maxBatch: 4, batching: "always", batchDelayMs: 200 });
    batches.length = 0;
    const answers = await Promise.all(Array.from({ length: 8 }, () => many.detect(job())));
    assert.deepEqual(batches, [4, 4]);
    assert.ok(answers.every(({ found }) => found.width === 120));
    const started = performance.now();
    await many.detect(job());
    const ms = performance.now() - started;
    assert.ok(ms >= 195, `a lone picture waited ${ms} ms for others`);
    many.kill();
    // Left to itself a worker tries whether they pay, which is no matter of this test: it uses all or none.
    const tried = await start({ maxBatch: 4, batchDelayMs: 200 });
    batches.length = 0;
    await Promise.all(Array.from({ length: 8 }, () => tried.detect(job())));
    assert.deepEqual(batches, tried.batchSize === 4 ? [4, 4] : Array.from({ length: 8 }, () => 1));
  }).timeout(30_000);

  it("tells the client's mistakes from others", async () => {
    const some = await start();
    await assert.rejects(some.detect(job(Buffer.from("no picture"))), RefusedError);
    assert.equal((await some.detect(job())).found.width, 120);
  }).timeout(30_000);

  it("leaves out what nobody waits for any longer", async () => {
    const some = await start({ maxWaiting: 100 });
    const controllers = Array.from({ length: 50 }, () => new AbortController());
    const gone = controllers.map(({ signal }) => some.detect(job(), signal));
    const settled = Promise.allSettled(gone);
    for (const controller of controllers) controller.abort();
    assert.equal(some.waiting, 0);
    assert.ok((await settled).every(({ status }) => status === "rejected"));
    await some.detect(job());
    // One worker takes two at once; none of the others was ever given to it.
    assert.equal(batches.length, 3);
  }).timeout(30_000);

  it("replaces a worker that dies; only what it had is lost, and told so", async () => {
    const some = await start();
    const [pid] = workerPids();
    const lost = some.detect(job());
    process.kill(pid!, "SIGKILL");
    await assert.rejects(lost, (error) => error instanceof UnavailableError && /SIGKILL/.test(error.message));
    assert.equal(deaths, 1);
    assert.equal((await some.detect(job())).found.width, 120);
  }).timeout(30_000);

  it("ends a worker that hangs, and gives up what has waited too long", async () => {
    const some = await start({ deadlineMs: 1500 });
    const [pid] = workerPids();
    process.kill(pid!, "SIGSTOP");
    const results = await Promise.allSettled(Array.from({ length: 4 }, () => some.detect(job())));
    const whys = results.map((result) => (result.status === "rejected" ? String(result.reason) : "answered"));
    assert.ok(
      whys.every((why) => why.includes("UnavailableError")),
      whys.join("; "),
    );
    assert.ok(
      whys.some((why) => why.includes("no worker was free within 1.5 s")),
      whys.join("; "),
    );
    // Another takes its place, as soon as it has started.
    const answered = () =>
      some.detect(job()).then(
        ({ found }) => found.width === 120,
        () => false,
      );
    await waitFor(answered, { what: "a worker in the place of the one that hung" });
    assert.ok(!workerPids().includes(pid!));
  }).timeout(30_000);

  it("answers all that it took before it retires, and leaves no process", async () => {
    const before = workerPids().length;
    const some = await start({ workers: 2 });
    const answers = Array.from({ length: 30 }, () => some.detect(job()));
    await some.retire();
    assert.equal((await Promise.allSettled(answers)).filter(({ status }) => status === "fulfilled").length, 30);
    await waitFor(() => workerPids().length <= before, { what: "the end of the workers" });
    // One that comes too late is told so, and does not wait for workers that are gone.
    await assert.rejects(some.detect(job()), /just been replaced/);
  }).timeout(30_000);
});

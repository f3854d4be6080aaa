import assert from "node:assert/strict";
import { appendFile, mkdtemp, readdir, rm } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { patientMs, waitFor } from "../../test/patience.ts";
import { MlflowClient } from "../platform/mlflow.ts";
import { MlflowSpool } from "../platform/mlflow-spool.ts";

const options = { experiment: "x", runName: "run", tags: { a: "b" } };

interface StandIn {
  readonly server: Server;
  readonly url: string;
  readonly told: { call: string; body: unknown }[];
  /** As if nothing listened: connections break. The port stays ours, so that nobody else can take it meanwhile. */
  away: boolean;
  /** What it refuses. */
  refuse: RegExp | undefined;
}

/** A stand-in that notes what it is told; the real MLflow is in the end-to-end tests. */
async function standIn(): Promise<StandIn> {
  const told: StandIn["told"] = [];
  const server = createServer((request, response) => {
    if (made.away) return void request.socket.destroy();
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const call = request.url!.replace("/api/2.0/mlflow/", "").split("?")[0]!;
      const text = Buffer.concat(chunks).toString();
      const refused = made.refuse?.test(text) ?? false;
      if (!refused) told.push({ call, body: text && JSON.parse(text) });
      const answer = refused
        ? { error_code: "INVALID_PARAMETER_VALUE", message: "no" }
        : { experiment: { experiment_id: "1" }, run: { info: { run_id: "r1" } } };
      response.writeHead(refused ? 400 : 200, { "Content-Type": "application/json" }).end(JSON.stringify(answer));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const made: StandIn = { server, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, told, away: false, refuse: undefined };
  return made;
}

const metric = (step: number) => ({ kind: "metrics" as const, metrics: [{ key: "loss", value: 1 / step, step, timestamp: step }] });

describe("the MLflow spool", () => {
  let folder: string;
  let mlflow: StandIn;
  beforeEach(async () => {
    folder = await mkdtemp(path.join(tmpdir(), "spool-"));
    mlflow = await standIn();
  });
  afterEach(async () => {
    mlflow.server.close();
    await rm(folder, { recursive: true, force: true });
  });
  const open = (troubles: string[] = []) => MlflowSpool.open(new MlflowClient(mlflow.url, 1), folder, options, (message) => troubles.push(message));
  const steps = (told: readonly { call: string; body: unknown }[]) =>
    told.flatMap(({ body }) => ((body as { metrics?: { step: number }[] }).metrics ?? []).map(({ step }) => step));

  it("keeps what is said while MLflow is away, and tells it in order when it is back", async () => {
    const troubles: string[] = [];
    mlflow.away = true;
    const spool = await open(troubles);
    for (const step of [1, 2, 3]) spool.add(metric(step));
    await waitFor(() => troubles[0], { what: "the spool to notice that MLflow is away" });
    await assert.rejects(spool.flush(300), /could not be told everything.*the next try sends it/);
    assert.match(troubles[0]!, /cannot be reached.*nothing is lost/);
    // The next try of the task, which says more before MLflow is back.
    const next = await open();
    next.add(metric(4));
    mlflow.away = false;
    const { told } = mlflow;
    assert.deepEqual(await next.flush(patientMs(20_000)), { runId: "r1", experimentId: "1" });
    assert.deepEqual(steps(told), [1, 2, 3, 4]);
    assert.equal(told.filter(({ call }) => call === "runs/create").length, 1);
  }).timeout(30_000);

  it("sends nothing again that an earlier try has sent, and forgets a run when it is asked to", async () => {
    const { told } = mlflow;
    const first = await open();
    first.add(metric(1));
    await first.flush(patientMs(5000));
    // Cut short by a crash: it was never promised.
    await appendFile(path.join(folder, "mlflow-spool.jsonl"), '{"kind":"metr');
    const second = await open();
    second.add(metric(2));
    await second.flush(patientMs(5000));
    const third = await open();
    third.add(metric(3));
    await third.flush(patientMs(5000));
    assert.deepEqual(steps(told), [1, 2, 3]);
    await third.forget();
    assert.deepEqual(await readdir(folder), []);
  });

  it("leaves out what MLflow refuses, says so, and goes on", async () => {
    const { told } = mlflow;
    mlflow.refuse = /"step":2,/;
    const troubles: string[] = [];
    const spool = await open(troubles);
    for (const step of [1, 2, 3]) spool.add(metric(step));
    await spool.flush(patientMs(5000));
    assert.deepEqual(steps(told), [1, 3]);
    assert.match(troubles.join(), /refused a part of the run.*answered 400: no/);
  });
});

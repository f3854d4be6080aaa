import assert from "node:assert/strict";
import { createServer, type IncomingMessage, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { MlflowClient } from "../platform/mlflow.ts";

/** A stand-in for the failures that a real MLflow gives only by chance; the real one is in the end-to-end tests. */
async function answering(answers: ((request: IncomingMessage) => { status: number; body?: unknown })[]) {
  const asked: string[] = [];
  const server = await new Promise<Server>((resolve) => {
    const listening: Server = createServer((request, response) => {
      asked.push(`${request.method} ${request.url}`);
      const answer = (answers[asked.length - 1] ?? answers.at(-1)!)(request);
      request.resume().on("end", () => response.writeHead(answer.status, { "Content-Type": "application/json" }).end(JSON.stringify(answer.body ?? {})));
    }).listen(0, "127.0.0.1", () => resolve(listening));
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, asked, stop: () => server.close() };
}

describe("the MLflow client", () => {
  it("repeats a call that failed for a while", async () => {
    const fake = await answering([() => ({ status: 503 }), () => ({ status: 200, body: { experiment: { experiment_id: "7" } } })]);
    assert.equal(await new MlflowClient(fake.url).findOrCreateExperiment("x"), "7");
    assert.equal(fake.asked.length, 2);
    fake.stop();
  });

  it("does not repeat a refusal, and gives MLflow's own words without the request", async () => {
    const fake = await answering([() => ({ status: 400, body: { error_code: "INVALID_PARAMETER_VALUE", message: "no such thing" } })]);
    const error = await new MlflowClient(fake.url).setTag("r", "secret-key", "secret-value").catch((thrown: unknown) => thrown as Error);
    assert.match(String(error), /answered 400: no such thing \[runs\/set-tag\]/);
    assert.doesNotMatch(JSON.stringify(error), /secret-value/);
    assert.equal(fake.asked.length, 1);
    fake.stop();
  });

  it("makes an experiment that another run made in the same moment", async () => {
    const fake = await answering([
      () => ({ status: 404, body: { error_code: "RESOURCE_DOES_NOT_EXIST", message: "none" } }),
      () => ({ status: 400, body: { error_code: "RESOURCE_ALREADY_EXISTS", message: "there" } }),
      () => ({ status: 200, body: { experiment: { experiment_id: "9" } } }),
    ]);
    assert.equal(await new MlflowClient(fake.url).findOrCreateExperiment("x"), "9");
    fake.stop();
  });
});

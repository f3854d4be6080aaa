import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { execa } from "execa";
import { fuzz, schemathesisArguments } from "./fuzz/run.ts";
import { manifestOf, type RunningService, someOnnx, startService, writeModel } from "./running-service.ts";

// A sample of what scripts/fuzz-inference.ts runs in full.
const cases = 2000;
const schemathesis = fileURLToPath(new URL("../../.venv-test/bin/schemathesis", import.meta.url));
const config = fileURLToPath(new URL("./schemathesis.toml", import.meta.url));

describe("the inference service, whatever is sent", () => {
  let service: RunningService;
  before(async () => {
    service = await startService({}, { workers: 2 });
    const onnx = someOnnx(1);
    await writeModel(service.folder, onnx, manifestOf(onnx));
    await service.host.refresh();
  });
  after(() => service.stop());

  it("answers damaged pictures and bodies with what is wrong, and never fails", async () => {
    const { statuses, problems } = await fuzz(service.url, { cases, seed: 1 });
    assert.deepEqual(
      problems.map(({ what }) => what),
      [],
    );
    // A fuzzer whose cases are all refused at the door finds nothing.
    for (const key of ["picture 200", "picture 415", "form 200", "form 400", "options 422", "many 200", "many 413", "tensor 200", "tensor 400"])
      assert.ok((statuses.get(key) ?? 0) > 0, `no case ended as ${key}: ${JSON.stringify([...statuses])}`);
    const text = await service.metrics.registry.metrics();
    assert.match(text, /worker_deaths_total 0/);
  }).timeout(120_000);

  it("does what its OpenAPI document says (schemathesis)", async () => {
    const args = ["--config-file", config, "run", `${service.url}/openapi.json`, ...schemathesisArguments(15)];
    const { exitCode, stdout } = await execa(schemathesis, args, { reject: false });
    assert.equal(exitCode, 0, stdout.slice(-4000));
  }).timeout(180_000);
});

import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { execa } from "execa";
import { manifestOf, type RunningService, side, someOnnx, startService, writeModel } from "./running-service.ts";

const python = fileURLToPath(new URL("../../.venv-test/bin/python", import.meta.url));
const client = fileURLToPath(new URL("./tensor_client.py", import.meta.url));

describe("the Open Inference Protocol", () => {
  let service: RunningService;
  before(async () => {
    service = await startService();
  });
  after(() => service.stop());

  const infer = async (body: string | Uint8Array<ArrayBuffer>, headers: Record<string, string> = {}) => {
    const response = await fetch(`${service.url}/v2/models/m/infer`, { method: "POST", body, headers });
    return { status: response.status, body: (await response.json()) as { error: string; outputs: { shape: number[]; data: number[] }[] } };
  };

  it("is not ready without a model", async () => {
    assert.equal((await fetch(`${service.url}/v2/health/ready`)).status, 503);
    assert.equal((await fetch(`${service.url}/v2/health/live`)).status, 200);
    assert.match((await infer("{}")).body.error, /there is no model/);
  });

  it("serves Triton's own client: health, metadata, and tensors as JSON and as bytes, both ways", async () => {
    const onnx = someOnnx(1);
    await writeModel(service.folder, onnx, manifestOf(onnx));
    await service.host.refresh();
    const { stdout } = await execa(python, [client, new URL(service.url).host, String(side)]);
    const got = JSON.parse(stdout) as Record<string, unknown> & { errors: string[] };
    assert.deepEqual([got["live"], got["ready"], got["model_ready"], got["version_ready"]], [true, true, true, true]);
    assert.deepEqual(got["server"], { name: "airloom", version: "0.1.0", extensions: ["binary_tensor_data"] });
    assert.deepEqual(got["metadata"], {
      name: "m",
      versions: ["1"],
      platform: "onnxruntime_onnx",
      inputs: [{ name: "images", datatype: "FP32", shape: [-1, 3, side, side] }],
      outputs: [{ name: "output0", datatype: "FP32", shape: [-1, 7, -1] }],
    });
    assert.deepEqual(got["shape"], [2, 7, 84]);
    assert.deepEqual(got["alike"], [true, true, true, true]);
    assert.deepEqual([got["finite"], got["id"]], [true, "r1"]);
    assert.match(got.errors[0]!, /^404: there is no model "nope"/);
    assert.match(got.errors[1]!, /^404: there is no model "m@9"/);
    assert.match(got.errors[2]!, /^400: the model refuses an input of shape \[1, 3, 33, 32\]/);
  }).timeout(60_000);

  it("says what is wrong with a call", async () => {
    const input = { name: "images", shape: [1, 3, 32, 32], datatype: "FP32", data: [0] };
    const call = (change: object) => JSON.stringify({ inputs: [{ ...input, ...change }] });
    const cases: [RegExp, string, Record<string, string>?][] = [
      [/not JSON/, "{"],
      [/inputs/, "{}"],
      [/there is no input "x": the model's is "images"/, call({ name: "x" })],
      [/images is FP32, and not INT8/, call({ datatype: "INT8" })],
      [/images has 1 numbers, and its shape \[1, 3, 32, 32\] needs 3072/, call({})],
      [/data that are not numbers/, call({ shape: [1, 1, 1, 1], data: ["x"] })],
      [/shape/, call({ shape: [0, 3, 32, 32] })],
      [/images may have \d+ numbers/, call({ shape: [8192, 8192, 8192, 8192] })],
      [/binary_data_size is 12, and 0 bytes came/, call({ parameters: { binary_data_size: 12 } })],
      [/there is no output "y"/, JSON.stringify({ inputs: [input], outputs: [{ name: "y" }] })],
      [/has to be a number of bytes/, call({}), { "Inference-Header-Content-Length": "-1" }],
      [/Inference-Header-Content-Length is 99999, and the body has/, call({}), { "Inference-Header-Content-Length": "99999" }],
    ];
    for (const [why, body, headers] of cases) {
      const answer = await infer(body, headers);
      assert.equal(answer.status, 400, JSON.stringify(answer.body));
      assert.match(answer.body.error, why);
    }
    const none = await fetch(`${service.url}/v2/models/m/infer`, { method: "POST" });
    assert.equal(none.status, 400);
  }).timeout(30_000);

  it("takes nested numbers too, as the protocol allows", async () => {
    const data = Array.from({ length: 3 }, () => Array.from({ length: 32 }, () => Array.from({ length: 32 }, () => 0.5)));
    const { status, body } = await infer(JSON.stringify({ inputs: [{ name: "images", shape: [1, 3, 32, 32], datatype: "FP32", data: [data] }] }));
    assert.equal(status, 200);
    assert.deepEqual(body.outputs[0]!.shape, [1, 7, 21]);
    assert.equal(body.outputs[0]!.data.length, 7 * 21);
  });
});

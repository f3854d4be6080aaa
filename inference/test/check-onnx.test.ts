import assert from "node:assert/strict";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { initialWeights, layoutOf } from "@airloom/yolo/nn/parameters.ts";
import { exportOnnx } from "@airloom/yolo/onnx/export.ts";
import { execa } from "execa";
import * as fc from "fast-check";
import { checkOnnx, RefusedModelError } from "../src/model/check-onnx.ts";
import { labels, side, someOnnx } from "./running-service.ts";

const python = fileURLToPath(new URL("../../.venv-test/bin/python", import.meta.url));

// Models that are wrong in one way each, made by ONNX's own library: what it writes is what an attacker's file looks like.
const makeBadModels = `
import sys, onnx
from onnx import helper, TensorProto, numpy_helper
import numpy as np
out = sys.argv[1]
F = TensorProto.FLOAT
def model(nodes, name, inputs=("images",), outputs=("output0",), init=(), opsets=(("", 13),), **kw):
    g = helper.make_graph(list(nodes), "g", [helper.make_tensor_value_info(i, F, [1, 3, 8, 8]) for i in inputs],
                          [helper.make_tensor_value_info(o, F, None) for o in outputs], list(init))
    m = helper.make_model(g, opset_imports=[helper.make_opsetid(d, v) for d, v in opsets], ir_version=8, **kw)
    open(f"{out}/{name}.onnx", "wb").write(m.SerializeToString())
identity = helper.make_node("Identity", ["images"], ["output0"])
model([identity], "good")
model([helper.make_node("Conv", ["images", "w"], ["output0"])], "old-style", inputs=("images", "w"), init=[numpy_helper.from_array(np.zeros((1, 3, 1, 1), np.float32), "w")])
w = numpy_helper.from_array(np.zeros((4,), np.float32), "w")
w.ClearField("raw_data"); w.data_location = TensorProto.EXTERNAL
e = w.external_data.add(); e.key = "location"; e.value = "../../../etc/passwd"
model([helper.make_node("Add", ["images", "w"], ["output0"])], "external", init=[w])
model([helper.make_node("Constant", [], ["c"], value=w), helper.make_node("Add", ["images", "c"], ["output0"])], "external-constant")
model([helper.make_node("Evil", ["images"], ["output0"], domain="com.evil")], "domain", opsets=(("", 13), ("com.evil", 1)))
model([helper.make_node("RandomNormal", [], ["output0"], shape=[1])], "operator")
body = helper.make_graph([helper.make_node("Identity", ["images"], ["x"])], "b", [], [helper.make_tensor_value_info("x", F, None)])
model([helper.make_node("If", ["c"], ["output0"], then_branch=body, else_branch=body)], "if", init=[numpy_helper.from_array(np.array(True), "c")])
model([helper.make_node("Identity", ["images"], ["output0"], body=body)], "subgraph")
model([identity], "output", outputs=("other",))
model([identity], "input", inputs=("images", "more"))
fn = helper.make_function("airloom", "Sigmoid", ["x"], ["y"], [helper.make_node("Identity", ["x"], ["y"])], [helper.make_opsetid("", 13)])
model([identity], "functions", functions=[fn])
m = onnx.load(f"{out}/good.onnx"); m.ir_version = 99; open(f"{out}/ir.onnx", "wb").write(m.SerializeToString())
m = onnx.load(f"{out}/good.onnx"); m.training_info.add(); open(f"{out}/training.onnx", "wb").write(m.SerializeToString())
`;

describe("the check of model files", () => {
  it("passes what training writes, in 32 and in 8 bits, and names its operators", () => {
    const { operators, inputs, outputs } = checkOnnx(someOnnx(1));
    assert.ok(operators.has("Conv") && operators.has("CumSum"));
    assert.deepEqual([inputs, outputs], [["images"], ["output0"]]);
    const config = { size: "n", classes: 3 } as const;
    const layout = layoutOf(config);
    const ranges = { get: () => [0, 1] as const } as unknown as ReadonlyMap<string, readonly [number, number]>;
    const int8 = exportOnnx(config, layout, initialWeights(layout, 1), { side, labels, ranges });
    assert.ok(checkOnnx(Buffer.from(int8)).operators.has("QuantizeLinear"));
  });

  it("refuses models that are wrong in one way each, and names the way (written by onnx's own library)", async () => {
    const folder = await mkdtemp(path.join(tmpdir(), "bad-onnx-"));
    try {
      await execa(python, ["-c", makeBadModels, folder]);
      const check = async (name: string) => checkOnnx(await readFile(path.join(folder, `${name}.onnx`)));
      await check("good");
      assert.deepEqual((await check("old-style")).inputs, ["images"]);
      const cases: Record<string, RegExp> = {
        external: /the numbers of w are in another file/,
        "external-constant": /the numbers of w are in another file/,
        domain: /operator(s)? of "com\.evil"/,
        operator: /the operator "RandomNormal", which is not among those/,
        if: /a graph within a node|the operator "If"/,
        subgraph: /a graph within a node/,
        output: /its outputs are other, and "output0" is expected/,
        input: /its inputs are images, more, and "images" is expected/,
        functions: /functions of its own/,
        ir: /IR version is 99/,
        training: /a part for training/,
      };
      for (const [name, why] of Object.entries(cases))
        await assert.rejects(check(name), (error) => error instanceof RefusedModelError && why.test(error.message), name);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  }).timeout(60_000);

  it("does nothing but pass or refuse, whatever the bytes (property)", () => {
    const model = someOnnx(1);
    const change = fc.record({ at: fc.integer({ min: 0, max: 20_000 }), byte: fc.integer({ min: 0, max: 255 }) });
    fc.assert(
      fc.property(fc.array(change, { minLength: 1, maxLength: 20 }), fc.integer({ min: 0, max: model.length }), (changes, length) => {
        const damaged = Buffer.from(model.subarray(0, length));
        for (const { at, byte } of changes) if (at < damaged.length) damaged[at] = byte;
        try {
          checkOnnx(damaged);
        } catch (error) {
          assert.ok(error instanceof RefusedModelError, String(error));
        }
      }),
      { numRuns: 60 },
    );
  }).timeout(60_000);
});

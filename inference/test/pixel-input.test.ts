import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { seededRandom } from "@airloom/yolo/augment/random.ts";
import { execa } from "execa";
import { InferenceSession, Tensor } from "onnxruntime-node";
import { Detector } from "../src/engine/detector.ts";
import { withPixelInput } from "../src/engine/pixel-input.ts";
import { labels, photo, side, someOnnx } from "./running-service.ts";

const python = fileURLToPath(new URL("../../.venv-test/bin/python", import.meta.url));

/** Writes the model with other inputs, by onnx's own library: a fixed square, another kind of number. */
const variants = `
import sys, onnx
place, side = sys.argv[1], int(sys.argv[2])
onnx.checker.check_model(onnx.load(f"{place}/pixels.onnx"), full_check=True)
def change(name, change):
    m = onnx.load(f"{place}/plain.onnx")
    change(m.graph.input[0].type.tensor_type)
    onnx.save(m, f"{place}/{name}.onnx")
def square(t, h=side, w=side):
    t.shape.dim[2].dim_value = h
    t.shape.dim[3].dim_value = w
change("square", square)
change("oblong", lambda t: square(t, side, side * 2))
change("half", lambda t: setattr(t, "elem_type", 10))
change("flat", lambda t: t.shape.dim.pop())
`;

describe("a model with pictures' bytes as its input", () => {
  let folder: string;
  const onnx = someOnnx(1);
  const file = (name: string) => readFile(path.join(folder, `${name}.onnx`));
  before(async () => {
    folder = await mkdtemp(path.join(tmpdir(), "pixels-"));
    await writeFile(path.join(folder, "plain.onnx"), onnx);
    await writeFile(path.join(folder, "pixels.onnx"), withPixelInput(onnx).onnx);
    await execa(python, ["-c", variants, folder, String(side)]);
  });
  after(() => rm(folder, { recursive: true, force: true }));

  it("gives what the model gives for the same picture in planes of 0 … 1, and passes onnx.checker", async () => {
    const random = seededRandom(1);
    const [count, height, width] = [2, 64, 96];
    const bytes = Uint8Array.from({ length: count * height * width * 3 }, () => random() * 256);
    const plane = height * width;
    const values = new Float32Array(bytes.length).map((_, i) => {
      const [n, channel, at] = [Math.floor(i / (3 * plane)), Math.floor(i / plane) % 3, i % plane];
      return bytes[(n * plane + at) * 3 + channel]! / 255;
    });
    const [plain, pixels] = await Promise.all([InferenceSession.create(onnx), InferenceSession.create(await file("pixels"))]);
    const expected = (await plain.run({ images: new Tensor("float32", values, [count, 3, height, width]) }))["output0"]!;
    const got = (await pixels.run({ pixels: new Tensor("uint8", bytes, [count, height, width, 3]) }))["output0"]!;
    assert.deepEqual(got.dims, expected.dims);
    const worst = (expected.data as Float32Array).reduce((most, value, i) => Math.max(most, Math.abs(value - (got.data as Float32Array)[i]!)), 0);
    assert.ok(worst < 1e-4, `largest difference ${worst}`);
  });

  it("keeps a square that is written into the model, and refuses inputs that it cannot serve", async () => {
    assert.equal(withPixelInput(onnx).fixedSide, undefined);
    assert.equal(withPixelInput(await file("square")).fixedSide, side);
    const detector = await Detector.load(await file("square"), { labels, side, threads: 1 });
    const { width, height } = await detector.detect(await photo("png", 100, 40), { minScore: 0.5, maxIou: 0.7, maxDetections: 9 });
    assert.deepEqual([width, height], [100, 40]);
    await detector.dispose();
    await assert.rejects(Detector.load(await file("square"), { labels, side: 128, threads: 1 }), /has 64 pixels a side, and its manifest says 128/);
    const cases: Record<string, RegExp> = {
      oblong: /64 × 128: a square, or free sides/,
      half: /not of 32-bit numbers/,
      flat: /\[batch, 3, height, width\] is expected/,
    };
    for (const [name, why] of Object.entries(cases)) {
      const changed = await file(name);
      assert.throws(() => withPixelInput(changed), why, name);
    }
  });
});

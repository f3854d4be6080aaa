import assert from "node:assert/strict";
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { judge, largestDifference, type Probe } from "../../scripts/gpu/verdict.ts";
import { tensorflowFlavour } from "../../scripts/set-up/tfjs-binding.mjs";

describe("the set-up's choice of TensorFlow", () => {
  const before = { PATH: process.env["PATH"], AIRLOOM_TENSORFLOW: process.env["AIRLOOM_TENSORFLOW"] };
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(path.join(tmpdir(), "driver-"));
    delete process.env["AIRLOOM_TENSORFLOW"];
  });
  afterEach(async () => {
    process.env["PATH"] = before.PATH;
    if (before.AIRLOOM_TENSORFLOW) process.env["AIRLOOM_TENSORFLOW"] = before.AIRLOOM_TENSORFLOW;
    else delete process.env["AIRLOOM_TENSORFLOW"];
    await rm(folder, { recursive: true, force: true });
  });
  async function driver(script: string) {
    await writeFile(path.join(folder, "nvidia-smi"), `#!/bin/sh\n${script}\n`);
    await chmod(path.join(folder, "nvidia-smi"), 0o755);
    process.env["PATH"] = `${folder}:${before.PATH}`;
  }

  it("is CUDA where the driver lists a GPU, and the CPU's where it lists none, fails, or is not there", async () => {
    await driver('echo "GPU 0: NVIDIA L4 (UUID: GPU-1)"');
    assert.equal(tensorflowFlavour(), "cuda");
    await driver('echo "No devices were found"');
    assert.equal(tensorflowFlavour(), "cpu");
    await driver('echo "GPU 0: broken"; exit 9');
    assert.equal(tensorflowFlavour(), "cpu");
    process.env["PATH"] = path.join(folder, "nowhere");
    assert.equal(tensorflowFlavour(), "cpu");
  });

  it("can be made by hand, and a wrong word is refused", async () => {
    await driver('echo "GPU 0: NVIDIA L4"');
    process.env["AIRLOOM_TENSORFLOW"] = "cpu";
    assert.equal(tensorflowFlavour(), "cpu");
    process.env["AIRLOOM_TENSORFLOW"] = "gpu";
    assert.throws(() => tensorflowFlavour(), /AIRLOOM_TENSORFLOW is "gpu": it may be cpu or cuda/);
  });
});

describe("the GPU check's verdict", () => {
  const probe = (given: Partial<Probe> = {}): Probe => ({
    gpu: true,
    losses: [
      [1, 2, 3],
      [0.9, 1.9, 2.9],
    ],
    firstStepSeconds: 2,
    imagesPerSecond: 100,
    ...given,
  });
  const good = {
    cpu: probe({ gpu: false, imagesPerSecond: 20 }),
    gpuEager: probe(),
    gpuTraced: probe(),
    gpuFast: probe(),
    gpuHalf: probe({ imagesPerSecond: 150 }),
  };
  const failures = (probes: Parameters<typeof judge>[0]) =>
    judge(probes)
      .filter((point) => !point.good)
      .map(({ text }) => text);

  it("passes what agrees and is faster", () => assert.deepEqual(failures(good), []));

  it("names what is wrong", () => {
    assert.match(failures({ ...good, gpuTraced: probe({ gpu: false }) }).join(), /does not use the GPU/);
    assert.match(
      failures({
        ...good,
        gpuTraced: probe({
          losses: [
            [1, 2, 3],
            [0.9, 1.95, 2.9],
          ],
        }),
      }).join(),
      /traced steps: losses within 2\.6e-2/,
    );
    assert.match(failures({ ...good, gpuEager: probe({ losses: [[1, NaN, 3]] }) }).join(), /eager steps: losses within Infinity/);
    assert.match(failures({ ...good, gpuFast: probe({ losses: [[NaN, 1, 1]] }) }).join(), /no longer numbers/);
    assert.match(failures({ ...good, gpuFast: probe({ imagesPerSecond: 10 }) }).join(), /0\.5 × the CPU's/);
  });

  it("says what bf16 is worth, and takes a GPU that cannot for a good one", () => {
    const said = (gpuHalf: Probe | undefined) => judge({ ...good, gpuHalf }).at(-1)!;
    assert.deepEqual(said(undefined), { good: true, text: "bf16 does not run on this GPU: keep precision fp32" });
    assert.match(said(good.gpuHalf).text, /1\.50 × fp32's/);
    assert.equal(
      said(
        probe({
          losses: [
            [1, 2, 3],
            [0.9, 1.9, 9],
          ],
        }),
      ).good,
      false,
    );
  });

  it("sees a missing step", () => assert.equal(largestDifference([[1], [2]], [[1]]), Infinity));
});

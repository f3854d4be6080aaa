import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import path from "node:path";
import { expectedOf, checkCanary } from "../src/model/canary.ts";
import { type Manifest, versionFolder } from "../src/model/manifest.ts";
import { labels, manifestOf, photo, postPictures, type RunningService, someOnnx, startService, writeModel } from "./running-service.ts";

describe("models of the inference service", () => {
  let service: RunningService;
  const good = someOnnx(1);
  before(async () => {
    service = await startService();
    await writeModel(service.folder, good, manifestOf(good));
    await service.host.refresh();
  });
  after(() => service.stop());

  const versionOf = async (query = "") => {
    const response = await postPictures(service.url, [await photo()], { query });
    const body = (await response.json()) as { metadata?: { model: { name: string; version: string } }; error?: { message: string } };
    return response.ok ? `${body.metadata!.model.name}@${body.metadata!.model.version}` : `${response.status}: ${body.error!.message}`;
  };

  it("stay as they are when a new one is no good, which is said at /readyz and counted; the next good one is taken", async () => {
    const other = someOnnx(2);
    const damaged = Buffer.from(other);
    damaged[damaged.length - 20]! ^= 255;
    const picture = await photo();
    await writeFile(path.join(service.folder, "canary.png"), picture);
    const canary = (...names: string[]): Pick<Manifest, "canary"> => ({
      canary: { file: "canary.png", detections: names.map((name) => ({ name, confidence: 0.9, box: { x1: 1, y1: 1, x2: 99, y2: 80 } })) },
    });
    const cases: [RegExp, Buffer, Partial<Manifest>][] = [
      [/has SHA-256/, damaged, { sha256: manifestOf(other).sha256 }],
      [/2 labels need \[1, 6, anchors\]/, other, { labels: ["only one", "and two"] }],
      [/is not a whole ONNX model/, Buffer.from("hello"), {}],
      [/is not a model manifest/, other, { sha256: "x" }],
      [/is not a model manifest/, other, { file: "../../etc/passwd" }],
      [/on its canary picture the model found \d+ objects where its manifest names 1, and 1 of those are missing \(square\)/, other, canary("square")],
      [/no-such\.png/, other, { canary: { file: "no-such.png", detections: [] } }],
    ];
    for (const [why, onnx, wrong] of cases) {
      await writeModel(service.folder, onnx, manifestOf(onnx, { version: "2", ...wrong, file: "best.onnx" }));
      if (wrong.file) await writeFile(path.join(service.folder, "manifest.json"), JSON.stringify(manifestOf(onnx, { version: "2", ...wrong })));
      await service.host.refresh();
      assert.match(service.host.status.problem ?? "", why);
      assert.equal(await versionOf(), "m@1");
      const ready = (await (await fetch(`${service.url}/readyz`)).json()) as { ready: boolean; problem: string };
      assert.ok(ready.ready && why.test(ready.problem));
    }
    const text = await service.metrics.registry.metrics();
    assert.match(text, new RegExp(`airloom_inference_model_changes_total\\{outcome="refused"\\} ${cases.length}`));
    assert.match(text, /airloom_inference_ready 0/);
    await writeModel(service.folder, other, manifestOf(other, { version: "3" }));
    await service.host.refresh();
    assert.equal(service.host.status.problem, undefined);
    assert.equal(await versionOf(), "m@3");
  }).timeout(60_000);

  it("are taken from their own folder where the files beside the manifest are the next one's: a publication that was cut off", async () => {
    const whole = someOnnx(6);
    const manifest = manifestOf(whole, { version: "6" });
    await writeModel(path.join(service.folder, versionFolder(manifest)), whole, manifest);
    await writeModel(service.folder, someOnnx(7), manifest);
    await service.host.refresh();
    assert.equal(service.host.status.problem, undefined);
    assert.equal(await versionOf(), "m@6");
    const third = someOnnx(2);
    await writeModel(service.folder, third, manifestOf(third, { version: "3" }));
    await service.host.refresh();
  });

  it("are replaced with no request lost", async () => {
    let changing = true;
    const next = someOnnx(4);
    const change = writeModel(service.folder, next, manifestOf(next, { version: "4" }))
      .then(() => service.host.refresh())
      .finally(() => (changing = false));
    const seen = new Set<string>();
    while (changing) for (const version of await Promise.all([versionOf(), versionOf(), versionOf()])) seen.add(version);
    await change;
    seen.add(await versionOf());
    assert.deepEqual([...seen].toSorted(), ["m@3", "m@4"]);
  }).timeout(60_000);

  it("that are kept serve those who name them, a few at once", async () => {
    for (const [name, version] of [
      ["m", "1"],
      ["a name/with ../odd", "7"],
    ] as const) {
      const manifest = manifestOf(good, { name, version });
      await writeModel(path.join(service.folder, versionFolder(manifest)), good, manifest);
    }
    assert.equal(await versionOf("?model=m@4"), "m@4");
    assert.equal(await versionOf("?model=m@1"), "m@1");
    assert.equal(await versionOf(`?model=${encodeURIComponent("a name/with ../odd")}`), "a name/with ../odd@7");
    // There is room for one beside the newest: the first comes back when it is asked for again.
    assert.equal(await versionOf("?model=m@1"), "m@1");
    assert.equal(await versionOf("?model=m"), "m@4");
    assert.match(await versionOf("?model=../../etc"), /^404: there is no model "\.\.\/\.\.\/etc" here; there are: .*m@1/);
  }).timeout(60_000);
});

describe("the canary picture", () => {
  const found = (cls: number, x: number) => ({ cls, score: 0.9, box: [x, 0, x + 10, 10] as const });

  it("has to show each expected object, of its class and about at its place", () => {
    const expected = expectedOf([found(0, 0), found(1, 50)], labels);
    assert.deepEqual(expected[0], { name: "circle", confidence: 0.9, box: { x1: 0, y1: 0, x2: 10, y2: 10 } });
    checkCanary(expected, [found(1, 51), found(0, 1), found(2, 80)], labels);
    assert.throws(() => checkCanary(expected, [found(0, 0)], labels), /1 of those are missing \(square\)/);
    assert.throws(() => checkCanary(expected, [found(0, 0), found(2, 50)], labels), /missing \(square\)/);
    assert.throws(() => checkCanary(expected, [found(0, 0), found(1, 56)], labels), /missing \(square\)/);
  });
});

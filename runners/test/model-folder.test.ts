import assert from "node:assert/strict";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { execa } from "execa";
import { listVersions, type Manifest, specOf, tryReadManifest } from "@airloom/inference/model/manifest.ts";
import { findRollback, publishVersion, serveVersion } from "../publish/model-folder.ts";

const command = fileURLToPath(new URL("../bin/airloom-models.mjs", import.meta.url));

describe("the model folder", () => {
  let folder: string;
  beforeEach(async () => (folder = await mkdtemp(path.join(tmpdir(), "model-folder-"))));
  afterEach(() => rm(folder, { recursive: true, force: true }));

  const manifest = (n: number): Manifest => ({
    name: "cars & more",
    version: String(n),
    file: "best.onnx",
    sha256: String(n).repeat(64).slice(0, 64),
    labels: ["car"],
    imgsz: 64,
    runId: "r",
    datasetCommit: "c",
    metrics: { mAP50: n / 10 },
    createdAt: `2026-01-0${n}T00:00:00.000Z`,
  });
  const publish = (n: number) => publishVersion(folder, manifest(n), new Map(["best.onnx", "best.pt"].map((name) => [name, Buffer.from(`${name} ${n}`)])));
  const served = async () => [
    (await tryReadManifest(folder))?.version,
    await readFile(path.join(folder, "best.onnx"), "utf8"),
    await readFile(path.join(folder, "best.pt"), "utf8"),
  ];

  it("holds the newest model and the last ones before it, and nothing half-written", async () => {
    for (let n = 1; n <= 7; n++) {
      await publish(n);
      // The folder's age decides which go.
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    assert.deepEqual(await served(), ["7", "best.onnx 7", "best.pt 7"]);
    assert.deepEqual(
      (await listVersions(folder)).map(({ version }) => version),
      ["7", "6", "5", "4", "3"],
    );
    const names = await readdir(folder, { recursive: true });
    assert.deepEqual(
      names.filter((name) => name.includes(".tmp")),
      [],
    );
  });

  it("keeps the newest whole versions, though a run was ended while it removed an old one", async () => {
    for (let n = 1; n <= 5; n++) {
      await publish(n);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    // As a run leaves it that was ended while it removed version 0.
    const leaving = path.join(folder, "versions", ".01234567-89ab-cdef-0123-456789abcdef.tmp");
    await mkdir(leaving);
    await writeFile(path.join(leaving, "manifest.json"), JSON.stringify(manifest(9)));
    const versions = async () => (await listVersions(folder)).map(({ version }) => version);
    assert.deepEqual(await versions(), ["5", "4", "3", "2", "1"]);
    await publish(6);
    assert.deepEqual(await versions(), ["6", "5", "4", "3", "2"]);
    assert.equal((await readdir(path.join(folder, "versions"))).length, 5);
  });

  it("goes back to the version before, and to one that is named; a new version after that serves", async () => {
    for (const n of [1, 2, 3]) await publish(n);
    await serveVersion(folder, await findRollback(folder, undefined));
    assert.deepEqual(await served(), ["2", "best.onnx 2", "best.pt 2"]);
    await serveVersion(folder, await findRollback(folder, undefined));
    assert.deepEqual(await served(), ["1", "best.onnx 1", "best.pt 1"]);
    await assert.rejects(findRollback(folder, undefined), /is older than cars & more@1, which serves; there are: cars & more@3/);
    await serveVersion(folder, await findRollback(folder, "cars & more@3"));
    // Again, as a retry would: links of one file onto itself.
    await serveVersion(folder, await findRollback(folder, "3"));
    assert.deepEqual(await served(), ["3", "best.onnx 3", "best.pt 3"]);
    await assert.rejects(findRollback(folder, "9"), /there is no version "9"/);
    await publish(4);
    assert.deepEqual(await served(), ["4", "best.onnx 4", "best.pt 4"]);
    assert.deepEqual(
      (await readdir(folder)).filter((name) => name.includes(".tmp")),
      [],
    );
  });

  it("passes over folders without a readable manifest", async () => {
    await publish(1);
    await writeFile(path.join(folder, "versions", specOf(manifest(1)).replaceAll(" ", "%20").replace("&", "%26"), "manifest.json"), "{");
    assert.deepEqual(await listVersions(folder), []);
  });

  it("is told of and rolled back from a terminal; an MLflow that is away is said, and no hindrance", async () => {
    for (const n of [1, 2]) await publish(n);
    const run = (...args: string[]) => execa(process.execPath, [command, "--folder", folder, "--mlflow", "http://127.0.0.1:9", ...args], { reject: false });
    assert.match((await run()).stdout, /^\* cars & more@2 .*mAP50 0\.200\n {2}cars & more@1 /);
    const back = await run("rollback");
    assert.match(back.stdout, /cars & more@1 is in /);
    assert.match(back.stderr, /MLflow was not told/);
    assert.equal(back.exitCode, 0);
    assert.equal((await served())[0], "1");
    const wrong = await run("rollback", "8");
    assert.equal(wrong.exitCode, 1);
    assert.match(wrong.stderr, /there is no version "8"/);
  }).timeout(60_000);
});

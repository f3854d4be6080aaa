import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { execa } from "execa";
import { storeAnnotation } from "@airloom/dataset-platform/registry/annotations.ts";
import { ensureClasses } from "@airloom/dataset-platform/registry/classes.ts";
import { recordModel } from "@airloom/dataset-platform/registry/models.ts";
import { imagePath, labelPath } from "@airloom/dataset-platform/store/layout.ts";
import { DataRepository } from "@airloom/dataset-platform/versions/data-repository.ts";
import { findRegistryUrl } from "../cli/data-registry.ts";
import { labelingRun, type LabelingPlace, openPlace } from "./labeling-place.ts";

const traceCommand = fileURLToPath(new URL("../bin/airloom-trace.mjs", import.meta.url));
const command = fileURLToPath(new URL("../bin/airloom-data.mjs", import.meta.url));

describe("airloom data", () => {
  let place: LabelingPlace;
  let folder: string;
  before(async () => {
    place = await openPlace();
    folder = await mkdtemp(path.join(tmpdir(), "data-cli-"));
  });
  after(async () => {
    await place.close();
    await rm(folder, { recursive: true, force: true });
  });
  const data = (...args: readonly string[]) => execa(command, [...args], { cwd: folder, env: { AIRLOOM_REGISTRY_URL: place.registryUrl }, reject: false });
  const json = async (...args: readonly string[]) => {
    const { stdout, exitCode, stderr } = await data(...args, "--json");
    assert.equal(exitCode, 0, stderr);
    return JSON.parse(stdout) as never;
  };

  it("says what there is, releases a batch that is stuck, and takes pictures out and in again", async () => {
    const [first, second] = (await place.add(2)) as [string, string];
    await place.add(1, "cam_b");
    const run = labelingRun(place, { runId: "stuck" });
    const { id } = await run.select();
    const task = await run.create(id);
    const status = await data();
    assert.equal(status.exitCode, 0, status.stderr);
    assert.match(status.stdout, /source +new +claimed +labelled +excluded\ncam_b +1 +0 +0 +0\nmanual_upload +0 +2 +0 +0\n/);
    assert.match(
      status.stdout,
      new RegExp(`1 open batch:\n${id}  manual_upload  2 pictures  run stuck of labeling_pipeline  for 0 min  http.*/tasks/${task.id}`),
    );
    assert.match(status.stdout, /every annotation is in a dataset version\nthere is no dataset version yet/);

    const released = await data("release", id);
    assert.match(released.stdout, /is released: 2 pictures of source manual_upload wait to be labelled\nrun stuck of labeling_pipeline fails at its next step/);
    assert.deepEqual(await json("release", id), { batch: id, state: "released", released: 0 });
    const { images } = await labelingRun(place, { runId: "next" }).select();
    assert.equal(images, 2);

    const excluded = await data("exclude", first.slice(0, 12), "--why", "blurred");
    assert.match(excluded.stdout, /1 picture: excluded .*\nto undo it: `npx airloom data restore` brings them back/);
    assert.deepEqual(await json("exclude", first, "--why", "again"), { changed: [], unchanged: [first] });
    const shown = (await json("show", first)) as { state: string; state_why: string; events: { kind: string }[] };
    assert.deepEqual([shown.state, shown.state_why], ["excluded", "blurred"]);
    assert.deepEqual(
      shown.events.map(({ kind }) => kind),
      ["image.added", "image.excluded"],
    );
    assert.deepEqual(await json("restore", first), { changed: [first], unchanged: [] });

    const missing = await data("exclude", second, "f".repeat(64), "--why", "x");
    assert.deepEqual([missing.exitCode, missing.stdout], [1, ""]);
    assert.match(missing.stderr, /the registry knows no picture f+/);
    assert.equal(((await json("show", second)) as { state: string }).state, "claimed", "half of what was asked was done");
  }).timeout(180_000);

  it("lets pictures be labelled again, by batch or by source, however many, and lists", async () => {
    const source = "many";
    const facts = {
      extension: "jpg",
      bytes: 1,
      width: 1,
      height: 1,
      orientation: 1,
      source_id: source,
      original_name: "n",
      state: "excluded",
      state_why: "x",
    } as const;
    const rows = Array.from({ length: 9000 }, () => randomBytes(32).toString("hex")).map((sha256) => ({
      ...facts,
      sha256,
      md5: sha256.slice(32),
      group_id: sha256,
    }));
    await place.registry.db.insertInto("sources").values({ id: source }).execute();
    for (let i = 0; i < rows.length; i += 3000)
      await place.registry.db
        .insertInto("images")
        .values(rows.slice(i, i + 3000))
        .execute();
    assert.equal(((await json("relabel", "--source", source)) as { unchanged: string[] }).unchanged.length, 9000);
    const all = await execa(command, ["restore", ...rows.map(({ sha256 }) => sha256)], { cwd: folder, env: { AIRLOOM_REGISTRY_URL: place.registryUrl } });
    assert.match(all.stdout, /^9000 pictures: brought back\n/);
    const twice = await data("relabel", "--source", source, "--batch", "0123456789");
    assert.match(twice.stderr, /say which pictures in one way/);
    assert.equal(((await json("list", "images", "--source", source, "--limit", "7")) as unknown[]).length, 7);
    assert.deepEqual(
      ((await json("list", "classes")) as { name: string }[]).map(({ name }) => name),
      ["car"],
    );
    assert.match((await data("list", "versions")).stdout, /there are no versions/);
    const odd = await data("list", "cats");
    assert.deepEqual([odd.exitCode, odd.stderr], [1, '"cats" cannot be listed: ask for images, batches, classes, versions']);
  }).timeout(180_000);

  it("verifies, makes whole again, traces and forgets: a picture, a version, a model", async () => {
    const { registry, storage } = place;
    const person = { person: "tester" };
    const sha256s = await place.add(2, "gate");
    await registry.transaction(async (trx) => {
      const asked = await ensureClasses(trx, ["car"], person);
      const origin = { annotator: "anna", cvatJobId: 70, batchId: null, cvatUrl: "http://cvat", cvatTaskId: 7, origin: "imported" as const };
      for (const sha256 of sha256s) await storeAnnotation(trx, { ...origin, sha256, asked, boxes: [] });
      await trx.updateTable("images").set({ state: "labelled" }).where("sha256", "in", sha256s).execute();
    });
    const news = { info: () => undefined, warn: () => undefined };
    const repository = new DataRepository({ storage, dvc: "dvc", remoteUrl: path.join(storage.root, ".remote"), news });
    const run = { dagId: "training_pipeline", runId: "trained", taskId: "register_model", mapIndex: -1, tryNumber: 1 };
    const commit = (await repository.commit("two of the gate", registry, run))!;
    const model = { name: "Gate", version: "3", mlflowRun: "mlflow-run", datasetCommit: commit, files: { "best.onnx": "5".repeat(64) } };
    await registry.transaction((trx) => recordModel(trx, model, run));
    // Rows without files, of the test before.
    await registry.db.deleteFrom("images").where("source_id", "=", "many").execute();

    const sound = await data("verify");
    assert.deepEqual([sound.exitCode, sound.stdout], [0, "every rule holds; --deep reads every byte as well"], sound.stdout);
    assert.match((await data("verify", "--deep")).stdout, /^every rule holds, and every byte is what it should be$/);
    const [first, second] = sha256s as [string, string];
    const file = path.join(storage.images, imagePath(first, "png"));
    await rm(file);
    await writeFile(path.join(storage.images, labelPath(second)), "0 0.5 0.5 1 1\n");
    const broken = await data("verify");
    assert.equal(broken.exitCode, 1);
    assert.match(broken.stdout, new RegExp(`bytes-of-every-row: 1 problem. To mend: npx airloom data rebuild.*\n  ${first} .* is not there`));
    assert.match(broken.stdout, /label-files-match: 1 problem/);
    const rebuilt = await data("rebuild");
    assert.deepEqual([rebuilt.exitCode, rebuilt.stdout], [0, "1 picture brought back; label files and classes.txt are what the registry says"]);
    assert.deepEqual(await json("verify", "--deep"), []);

    // Back from a prediction, and from the picture on to the model.
    const trace = async (...args: string[]) => execa(traceCommand, args, { cwd: folder, env: { AIRLOOM_REGISTRY_URL: place.registryUrl }, reject: false });
    const back = await trace(`${"5".repeat(16)}.0b7f0c1e-0000-4000-8000-000000000000`, "--pictures");
    assert.match(back.stdout, /^model Gate@3, .*\n {2}MLflow run mlflow-run; Airflow run trained of training_pipeline\n/);
    assert.match(back.stdout, new RegExp(`dataset ${commit}: 2 pictures, .*, two of the gate\n`));
    assert.match(back.stdout, new RegExp(`  ${first}  gate: \\d+\\.png  anna, http://cvat/tasks/7, job 70`));
    assert.match((await trace(first)).stdout, new RegExp(`  in dataset ${commit}\n  model Gate@3 learned from it: MLflow run mlflow-run`));
    const nothing = await trace("f".repeat(40));
    assert.deepEqual([nothing.exitCode, nothing.stdout], [1, ""]);

    assert.match((await data("forget", "gate", "--why", " ")).stderr, /--why is empty/);
    const forgotten = await data("forget", first, "--why", "consent withdrawn");
    assert.match(forgotten.stdout, new RegExp(`^1 picture forgotten: .*\n1 version hold them: ${commit.slice(0, 12)}\n1 model learned from them: Gate@3$`));
    await repository.commit("without it", registry, run);
    assert.doesNotMatch(JSON.stringify(await json("verify")), new RegExp(first));
    const now = await repository.findVersion("HEAD", { registry });
    assert.equal(
      now.folders.reduce((sum, { files }) => sum + files, 0),
      2,
    );
  }).timeout(180_000);

  it("finds the registry by the nearest .env, and never takes a password as an argument", async () => {
    const url = new URL(place.registryUrl);
    assert.equal(findRegistryUrl({ DATABASE_URL: "postgresql://a:b%2F@db:5/postgres?sslmode=require" }), "postgresql://a:b%2F@db:5/airloom?sslmode=require");
    assert.equal(findRegistryUrl({ POSTGRES_PASSWORD: "p/w" }), "postgresql://airloom:p%2Fw@127.0.0.1:15432/airloom");
    assert.equal(findRegistryUrl({ POSTGRES_PASSWORD: "p", POSTGRES_PORT: "7" }), "postgresql://airloom:p@127.0.0.1:7/airloom");
    assert.throws(() => findRegistryUrl({}), /POSTGRES_PASSWORD or DATABASE_URL, or set AIRLOOM_REGISTRY_URL/);
    await writeFile(path.join(folder, ".env"), `AIRLOOM_REGISTRY_URL='${url.href}'\n`);
    const { stdout, exitCode } = await execa(command, ["status"], { cwd: folder, env: { AIRLOOM_REGISTRY_URL: "" } });
    assert.equal(exitCode, 0);
    assert.match(stdout, /cam_b/);
  }).timeout(180_000);
});

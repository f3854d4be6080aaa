import assert from "node:assert/strict";
import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import type { AddressInfo, Server } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { CvatClient } from "@airloom/dataset-platform/cvat/client.ts";
import { labelerApp } from "@airloom/dataset-platform/labeler/app.ts";
import { LabelerState } from "@airloom/dataset-platform/labeler/state.ts";
import { Feedback } from "@airloom/inference/feedback/feedback.ts";
import type { Found } from "@airloom/inference/engine/detector.ts";
import type { Manifest } from "@airloom/inference/model/manifest.ts";
import { pino } from "pino";
import sharp from "sharp";
import { createTask } from "../cvat/tasks.ts";
import { ingestImages } from "../ingest/task.ts";
import { newDatabase, type TestDatabase } from "../../test/database.ts";
import { selectBatch } from "../select/task.ts";
import { taskContext } from "./task-context.ts";

const silent = pino({ level: "silent" });
const password = "A LONG PASSWORD";
const manifest = { name: "m", version: "3", labels: ["car", "truck", "van"] } as unknown as Manifest;

const found = (...scores: number[]): Found => ({
  width: 200,
  height: 100,
  detections: scores.map((score, cls) => ({ cls, score, box: [20, 10, 60 + 20 * cls, 50] as const })),
  speedMs: { preprocess: 0, inference: 0, postprocess: 0 },
});

const picture = (n: number) =>
  sharp({ create: { width: 200, height: 100, channels: 3, background: { r: n, g: 90, b: 7 } } })
    .jpeg()
    .toBuffer();

describe("feedback", () => {
  let root: string;
  let incoming: string;
  let labeler: Server;
  let cvat: CvatClient;
  let url: string;
  let database: TestDatabase;
  const outer = { ...process.env };
  before(async () => {
    root = await mkdtemp(path.join(tmpdir(), "feedback-"));
    incoming = path.join(root, "incoming");
    database = await newDatabase();
    const app = labelerApp(await LabelerState.open(path.join(root, "labeler")), { user: "admin", password }, silent);
    labeler = await new Promise<Server>((resolve) => {
      const listening: Server = app.listen(0, "127.0.0.1", () => resolve(listening));
    });
    url = `http://127.0.0.1:${(labeler.address() as AddressInfo).port}`;
    cvat = new CvatClient({ url, auth: { user: "admin", password } });
    Object.assign(process.env, { STORAGE_DIR: path.join(root, "storage"), INCOMING_DIR: incoming, MODEL_DIR: root, MLFLOW_TRACKING_URI: "http://127.0.0.1:9" });
  });
  after(async () => {
    labeler.close();
    await database.drop();
    for (const name of ["STORAGE_DIR", "INCOMING_DIR", "MODEL_DIR", "MLFLOW_TRACKING_URI"])
      if (outer[name] === undefined) delete process.env[name];
      else process.env[name] = outer[name];
    await rm(root, { recursive: true, force: true });
  });
  beforeEach(async () => {
    await rm(incoming, { recursive: true, force: true });
    await mkdir(incoming, { recursive: true });
  });

  const options = { share: 1, below: 0.5, perDay: 100 };

  it("sends unsure pictures alone, a share of them, and no more a day than it may", async () => {
    const all = new Feedback({ ...options, folder: incoming });
    assert.equal(await all.offer(await picture(1), found(0.9, 0.8), manifest, silent), false);
    assert.equal(await all.offer(await picture(1), found(), manifest, silent), false);
    assert.equal(await all.offer(await picture(1), found(0.9, 0.3), manifest, silent), true);
    assert.equal(await all.offer(await picture(1), found(0.9, 0.3), manifest, silent), false, "the same picture was sent twice");

    const half = new Feedback({ ...options, folder: incoming, share: 0.5 }, () => 0.6);
    assert.equal(await half.offer(await picture(2), found(0.3), manifest, silent), false);

    const two = new Feedback({ ...options, folder: incoming, perDay: 2 });
    const sent = [];
    for (const n of [11, 12, 13, 14]) sent.push(await two.offer(await picture(n), found(0.3), manifest, silent));
    assert.deepEqual(sent, [true, true, false, false]);
  });

  it("fails no request where a picture cannot be written", async () => {
    await writeFile(path.join(root, "a file"), "");
    const nowhere = new Feedback({ ...options, folder: path.join(root, "a file/in it") });
    assert.equal(await nowhere.offer(await picture(1), found(0.3), manifest, silent), false);
  });

  it("comes back in the next labeling run with its boxes drawn, of the labels that the project has", async () => {
    assert.ok(await new Feedback({ ...options, folder: incoming }).offer(await picture(50), found(0.9, 0.6, 0.3), manifest, silent));
    const context = taskContext({ registryUrl: database.url, cvat: { url, user: "admin", password } });
    const { lines } = context;
    assert.equal(((await ingestImages.handler({ sourceId: "manual_upload" }, context)) as { added: number }).added, 1);
    assert.deepEqual(await readdir(incoming), [], "something was left in incoming/");
    const batch = (await selectBatch.handler({ sourceId: "manual_upload", batchSize: 10 }, context)) as { id: string };
    const given = { batchId: batch.id, project: "P", labels: ["truck", "car"] };
    const { id } = (await createTask.handler(given, context)) as { id: number };
    assert.ok(
      lines.some((line) => /2 boxes that a model saw are drawn already/.test(line)),
      lines.join("\n"),
    );
    const labels = new Map((await cvat.labelsOfTask(id)).map((label) => [label.id, label.name]));
    const boxes = async () =>
      (await cvat.annotations(id)).shapes
        .map(({ label_id, points }) => [labels.get(label_id), ...points.map(Math.round)])
        .toSorted((a, b) => String(a[0]).localeCompare(String(b[0])));
    const drawn = [
      ["car", 20, 10, 60, 50],
      ["truck", 20, 10, 80, 50],
    ];
    assert.deepEqual(await boxes(), drawn);
    // A retry changes nothing; nor would it bring back what a person has taken away, once there is something.
    const [first] = (await cvat.annotations(id)).shapes;
    await cvat.putBoxes(id, [{ frame: 0, labelId: first!.label_id, points: [1, 1, 9, 9] }]);
    assert.equal(((await createTask.handler(given, context)) as { id: number }).id, id);
    assert.equal((await boxes()).length, 1);
  }).timeout(30_000);
});

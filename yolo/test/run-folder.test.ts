import assert from "node:assert/strict";
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import sharp from "sharp";
import { checkData } from "../src/train/check-data.ts";
import { defaultOptions, type TrainOptions } from "../src/train/options.ts";
import type { PictureFile } from "../src/train/pictures.ts";
import { trainInFolder } from "../src/train/run-folder.ts";
import type { TrainJob } from "../src/train/train.ts";
import { readCheckpoint, writeCheckpoint } from "../src/weights/checkpoint.ts";
import { readSafetensors, writeSafetensors } from "../src/weights/safetensors.ts";
import { readWeightsFile } from "../src/weights/take-weights.ts";

const origin = { dataset: "drawn for a test" };

/** White squares on grey, of one class or of two by their size. */
async function drawn(folder: string, count: number): Promise<PictureFile[]> {
  await mkdir(folder, { recursive: true });
  return Promise.all(
    Array.from({ length: count }, async (_, i) => {
      const size = i % 2 ? 24 : 40;
      const [x, y] = [(i * 7) % (96 - size), (i * 13) % (64 - size)];
      const box = await sharp({ create: { width: size, height: size, channels: 3, background: "white" } })
        .png()
        .toBuffer();
      const file = path.join(folder, `${i}.png`);
      await sharp({ create: { width: 96, height: 64, channels: 3, background: "#555" } })
        .composite([{ input: box, left: x, top: y }])
        .png()
        .toFile(file);
      return { file, objects: [{ cls: i % 2, xywh: [(x + size / 2) / 96, (y + size / 2) / 64, size / 96, size / 64] as const }] };
    }),
  );
}

describe("a training run in a folder", () => {
  let root: string;
  let job: (options: Partial<TrainOptions>) => TrainJob;
  before(async () => {
    root = await mkdtemp(path.join(tmpdir(), "run-folder-"));
    const pictures = await drawn(path.join(root, "data"), 8);
    const small: Partial<TrainOptions> = { side: 64, batch: 2, epochs: 2, engine: "eager" };
    job = (options) => ({
      train: pictures.slice(0, 5),
      validation: pictures.slice(5),
      labels: ["small", "large"],
      options: { ...defaultOptions, ...small, ...options },
    });
  });
  after(() => rm(root, { recursive: true, force: true }));

  /** Runs a job, and asks it to stop after some steps. */
  async function run(work: TrainJob, name: string, stopAfter = Infinity) {
    const folder = path.join(root, name);
    await mkdir(folder, { recursive: true });
    const stop = new AbortController();
    const notes: string[] = [];
    let steps = 0;
    const end = await trainInFolder(
      work,
      folder,
      origin,
      {
        onNote: (text) => notes.push(text),
        onStep: () => {
          if (++steps === stopAfter) stop.abort();
        },
        onEpoch: () => undefined,
      },
      stop.signal,
    );
    return { folder, end, notes, steps };
  }

  it("stopped in the middle of an epoch and started again, equals one that was not stopped, bit for bit", async () => {
    const whole = await run(job({ accumulate: 2 }), "whole");
    // Three steps an epoch: the fourth is in the second one, and between two updates.
    const first = await run(job({ accumulate: 2 }), "parts", 4);
    assert.equal(first.end.why, "stopped");
    const second = await run(job({ accumulate: 2 }), "parts");
    assert.equal(second.steps, 2);
    assert.match(second.notes.join(), /going on from epoch 2, step 2/);
    for (const name of ["best.safetensors", "last.safetensors", "best.onnx"]) {
      const [a, b] = await Promise.all([whole, second].map(({ folder }) => readFile(path.join(folder, name))));
      assert.ok(a!.equals(b!), name);
    }
    const figures = ({ end }: typeof whole) =>
      end.reports.map(({ seconds: _s, imagesPerSecond: _i, stepShare: _p, memoryMiB: _m, cpuPercent: _c, ...rest }) => rest);
    assert.deepEqual(figures(second), figures(whole));
  }).timeout(120_000);

  it("leaves every file that people look for, and no half-written one", async () => {
    const { folder, end } = await run(job({ engine: "traced", epochs: 1 }), "files");
    assert.equal(end.why, "epochs");
    const curves = ["BoxF1_curve.png", "BoxPR_curve.png", "BoxP_curve.png", "BoxR_curve.png"];
    const mosaics = ["train_batch0.jpg", "train_batch1.jpg", "train_batch2.jpg", "val_batch0_labels.jpg", "val_batch0_pred.jpg"];
    const texts = ["analysis.json", "model-card.md", "report.html", "results.csv"];
    const weights = ["best.int8.onnx", "best.onnx", "best.pt", "best.safetensors", "last.safetensors"];
    const charts = ["confusion_matrix.png", "confusion_matrix_normalized.png", "labels.png", "results.png"];
    assert.deepEqual((await readdir(folder)).toSorted(), [...curves, ...mosaics, ...texts, ...weights, ...charts].toSorted());
    for (const name of [...curves, ...mosaics, ...charts]) {
      const { width, height } = await sharp(path.join(folder, name)).metadata();
      assert.ok(width > 100 && height > 100, name);
    }
    const report = await readFile(path.join(folder, "report.html"), "utf8");
    // Self-contained: nothing is fetched from anywhere.
    assert.doesNotMatch(report, /(?:src|href)="(?!data:)/);
    const [header, row] = (await readFile(path.join(folder, "results.csv"), "utf8")).split("\n");
    assert.equal(
      header,
      "epoch,time,train/box_loss,train/cls_loss,train/dfl_loss,metrics/precision(B),metrics/recall(B),metrics/mAP50(B),metrics/mAP50-95(B),val/box_loss,val/cls_loss,val/dfl_loss,lr/pg0,lr/pg1,lr/pg2",
    );
    assert.equal(row!.split(",").length, 15);
    assert.deepEqual(readCheckpoint(await readFile(path.join(folder, "best.safetensors"))).labels, ["small", "large"]);
  }).timeout(120_000);

  it("ends when nothing gets better, and when its time is over", async () => {
    const patient = await run(job({ epochs: 9, patience: 1, lr0: 0, engine: "traced" }), "patience");
    assert.deepEqual([patient.end.why, patient.end.reports.length], ["patience", 2]);
    // A millisecond: the first epoch is over when it is over.
    const timed = await run(job({ epochs: 9, time: 1e-3 / 3600, engine: "traced" }), "time");
    assert.deepEqual([timed.end.why, timed.end.reports.length], ["time", 1]);
  }).timeout(120_000);

  it("begins with the weights of another run, and says what of them fits", async () => {
    const { folder } = await run(job({ engine: "traced", epochs: 1 }), "pretrained");
    const weights = path.join(folder, "best.pt");
    const { notes, end } = await run({ ...job({ engine: "traced", epochs: 1, weights }), labels: ["small", "large", "third"] }, "finetuned");
    assert.match(notes.join("\n"), /291 of 297 parameters and statistics from .*best\.pt/);
    assert.match(notes.join("\n"), /begins anew: head\.p3\.cls\.out\.weight/);
    assert.equal(end.why, "epochs");
    await assert.rejects(run(job({ weights: path.join(root, "none.pt") }), "nothing"), /cannot begin with .*none\.pt: ENOENT/);
  }).timeout(120_000);

  it("hands the licence of the weights it began with on to the card and to every file, also after a stop", async () => {
    const { folder: scratch } = await run(job({ engine: "traced", epochs: 1 }), "scratch");
    assert.match(
      await readFile(path.join(scratch, "model-card.md"), "utf8"),
      /Starting weights\*\*: none: trained from scratch\n- \*\*Licence of the weights\*\*: Apache-2\.0/,
    );
    const given = path.join(root, "theirs.safetensors");
    const whole = readCheckpoint(await readFile(path.join(scratch, "best.safetensors")));
    await writeFile(given, writeCheckpoint({ ...whole, licence: "AGPL-3.0" }));
    const work = job({ engine: "traced", epochs: 2, weights: given });
    await run(work, "licensed", 2);
    const { folder } = await run(work, "licensed");
    assert.match(
      await readFile(path.join(folder, "model-card.md"), "utf8"),
      /theirs\.safetensors \(licence: AGPL-3\.0\)\n- \*\*Licence of the weights\*\*: AGPL-3\.0/,
    );
    for (const name of ["best.safetensors", "last.safetensors", "best.pt", "best.onnx", "best.int8.onnx"])
      assert.equal(readWeightsFile(await readFile(path.join(folder, name))).licence, "AGPL-3.0", name);
    const unstated = path.join(root, "unstated.safetensors");
    const { tensors } = readSafetensors(await readFile(given));
    await writeFile(unstated, writeSafetensors(tensors, {}));
    const { folder: third } = await run(job({ engine: "traced", epochs: 1, weights: unstated }), "unstated");
    assert.match(await readFile(path.join(third, "model-card.md"), "utf8"), /unstated\.safetensors \(licence: not stated in the file/);
    assert.match(readWeightsFile(await readFile(path.join(third, "best.onnx"))).licence!, /^not stated by .*unstated\.safetensors/);
  }).timeout(120_000);

  it("begins anew, and says so, where the folder holds the state of another run", async () => {
    await run(job({}), "other", 2);
    const { notes, steps } = await run(job({ seed: 5 }), "other");
    assert.match(notes.join(), /has other options: beginning anew\. It is kept as resume\.previous\.safetensors/);
    assert.equal(steps, 6);
  }).timeout(120_000);

  it("loses nothing where a label changes between stop and start: with the label as it was, the run goes on", async () => {
    const { train: pictures, ...rest } = job({});
    const whole = await run(job({}), "undisturbed");
    await run(job({}), "label", 4);
    const [first, ...others] = pictures;
    const changed = { ...rest, train: [{ ...first!, objects: [] }, ...others] };
    const { notes } = await run(changed, "label", 1);
    assert.match(notes.join("\n"), /has other training pictures or their labels: beginning anew/);
    const back = await run(job({}), "label");
    assert.match(back.notes.join("\n"), /going on from epoch 2, step 2/);
    assert.deepEqual(await readFile(path.join(back.folder, "last.safetensors")), await readFile(path.join(whole.folder, "last.safetensors")));
  }).timeout(120_000);

  it("is the same run, bit for bit, where every picture says that it was asked for all; another one where some were not", async () => {
    const { train: pictures, ...rest } = job({ epochs: 1 });
    const asking = (asked: readonly number[]) => ({ ...rest, train: pictures.map((picture, i) => (i === 0 ? { ...picture, asked } : picture)) });
    const whole = await run({ ...rest, train: pictures }, "nothing-said");
    await run({ ...rest, train: pictures }, "asked", 2);
    const other = await run(asking([1]), "asked", 1);
    assert.match(other.notes.join("\n"), /has other training pictures or their labels: beginning anew/);
    const same = await run(asking([1, 0]), "asked");
    assert.match(same.notes.join("\n"), /going on from epoch 1, step 3/);
    assert.deepEqual(await readFile(path.join(same.folder, "last.safetensors")), await readFile(path.join(whole.folder, "last.safetensors")));
  }).timeout(240_000);

  it("says which classes nobody was asked to mark", async () => {
    const { train: pictures, validation, labels, options } = job({});
    const asked = (part: readonly PictureFile[], ...classes: number[]) => part.map((picture) => ({ ...picture, asked: classes }));
    const odd = (change: Partial<TrainJob>) => checkData({ train: pictures, validation, labels, options, ...change });
    assert.deepEqual(await odd({}), []);
    assert.deepEqual(await odd({ validation: asked(validation, 0, 1) }), []);
    const smallOnly = validation.map(({ file, objects }) => ({ file, objects: objects.filter(({ cls }) => cls === 0), asked: [0] }));
    assert.deepEqual(await odd({ validation: smallOnly }), ["nobody was asked to mark large on the validation pictures: it cannot be measured"]);
    assert.deepEqual(await odd({ train: asked(pictures, 1) }), ["nobody was asked to mark small on the training pictures: what is not one cannot be learned"]);
    const empty = (part: readonly PictureFile[]) => part.map(({ file }) => ({ file, objects: [], asked: [] }));
    assert.deepEqual(await odd({ train: [...empty(pictures.slice(1)), ...asked(pictures.slice(0, 1), 0)], validation: empty(validation) }), [
      "nobody was asked to mark small on the validation pictures: it cannot be measured",
      "nobody was asked to mark large on the training pictures: it cannot be learned",
      "nobody was asked to mark large on the validation pictures: it cannot be measured",
    ]);
    await assert.rejects(odd({ train: asked(pictures, 2) }), /0\.png: class 2, which it was asked for, is not one of 0 … 1/);
  });

  it("refuses data that cannot be trained with, and names the picture and the object", async () => {
    const good = job({});
    const broken = path.join(root, "broken.jpg");
    await writeFile(broken, "not a picture");
    const refused = (change: Partial<TrainJob>, message: RegExp) => assert.rejects(run({ ...good, ...change }, "bad"), message);
    await refused({ train: [] }, /the training split is empty/);
    await refused({ validation: [] }, /the validation split is empty/);
    await refused(job({ precision: "bf16", engine: "eager" }), /precision bf16 needs the traced engine/);
    await refused({ labels: ["one"] }, /1\.png, object 1: class 1 is not one of 0 … 0/);
    await refused({ train: [{ file: broken, objects: [] }] }, /broken\.jpg cannot be read as a picture/);
    const { file } = good.train[0]!;
    await refused(
      { train: [{ file, objects: [{ cls: 0, xywh: [0.5, 0.5, 1.5, 0.1] }] }] },
      /0\.png, object 1: the box 0\.5 0\.5 1\.5 0\.1 is not within 0 … 1/,
    );
    await refused({ train: [{ file: path.join(root, "gone.jpg"), objects: [] }] }, /gone\.jpg cannot be read/);
    assert.deepEqual(await readdir(path.join(root, "bad")), []);
    const { notes } = await run({ ...good, labels: ["small", "large", "none"] }, "odd", 1);
    assert.match(notes.join("\n"), /no training picture shows none/);
  }).timeout(60_000);

  it("stops where the loss is no longer a number, says where, and keeps what it had", async () => {
    await assert.rejects(run(job({ lr0: 1e30, optimizer: "SGD", warmupEpochs: 0 }), "diverged"), /no longer a number in epoch \d, step \d of 3.*Lower lr0/s);
  }).timeout(60_000);

  it("chooses a batch by the memory, and keeps it for the whole run", async () => {
    const first = await run(job({ batch: 0, epochs: 2, engine: "traced" }), "automatic", 1);
    const [, batch] = /batch (\d+), for [\d.]+ GiB/.exec(first.notes.join("\n"))!;
    const second = await run(job({ batch: 0, epochs: 2, engine: "traced" }), "automatic");
    assert.ok(second.notes.join("\n").includes(`batch ${batch}, as before`));
    assert.match(second.notes.join("\n"), /going on from epoch/);
  }).timeout(120_000);

  it("trains with a batch of one, and picks no class where a picture shows none", async () => {
    const good = job({ batch: 1, epochs: 1, engine: "traced" });
    const { end } = await run({ ...good, train: good.train.map(({ file }, i) => ({ file, objects: i === 0 ? good.train[0]!.objects : [] })) }, "one");
    assert.ok(Number.isFinite(end.reports[0]!.clsLoss));
  }).timeout(60_000);

  it("says which file a full disk did not take, and leaves nothing half-written", async () => {
    const folder = path.join(root, "full");
    await mkdir(folder);
    // What is written to /dev/full is answered with ENOSPC by Linux itself.
    await symlink("/dev/full", path.join(folder, `best.safetensors.${process.pid}.tmp`));
    await assert.rejects(run(job({ epochs: 1 }), "full"), /full\/best\.safetensors cannot be written: the disk is full.*goes on from its last epoch/);
    assert.deepEqual(
      (await readdir(folder)).filter((name) => /best|tmp/.test(name)),
      [],
    );
  }).timeout(60_000);
});

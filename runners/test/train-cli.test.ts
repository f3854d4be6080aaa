import assert from "node:assert/strict";
import { cp, mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import type { Readable } from "node:stream";
import { fileURLToPath } from "node:url";
import { execa } from "execa";
import sharp from "sharp";

const project = fileURLToPath(new URL("../..", import.meta.url));
const airloom = path.join(project, "node_modules/.bin/airloom");

// `npx airloom train` as a person runs it, in a process of its own.
describe("airloom train", () => {
  let root: string;
  let data: string;
  before(async () => {
    root = await mkdtemp(path.join(tmpdir(), "train-cli-"));
    data = path.join(root, "data");
    for (const [part, count] of [
      ["train", 6],
      ["val", 3],
    ] as const) {
      for (const kind of ["images", "labels"]) await mkdir(path.join(data, kind, part), { recursive: true });
      for (let i = 0; i < count; i++) {
        await sharp({ create: { width: 64, height: 48, channels: 3, background: { r: i * 40, g: 90, b: 120 } } })
          .png()
          .toFile(path.join(data, "images", part, `${i}.png`));
        await writeFile(path.join(data, "labels", part, `${i}.txt`), `${i % 2} 0.5 0.5 0.4 0.4\n`);
      }
    }
    await writeFile(path.join(data, "data.yaml"), "path: .\ntrain: images/train\nval: [images/val]\nnames: {0: cat, 1: dog}\n");
  });
  after(() => rm(root, { recursive: true, force: true }));

  const small = ["--epochs", "2", "--imgsz", "64", "--batch", "3"];
  const start = (name: string, ...more: string[]) =>
    execa(airloom, ["train", "--data", data, "--out", path.join(root, name), ...small, ...more], { cwd: project, all: true, reject: false });

  /** Waits until a program's output has something; its end is waited for too, so that the test can show what it said instead. */
  async function said(run: Promise<unknown> & { readonly stdout: Readable }, pattern: RegExp): Promise<void> {
    let text = "";
    const found = new Promise<void>((resolve) => {
      run.stdout.on("data", (chunk: Buffer) => {
        text += chunk.toString();
        if (pattern.test(text)) resolve();
      });
    });
    await Promise.race([found, run]);
  }

  it("trains on a data.yaml, says how it goes, and leaves the model", async () => {
    const { exitCode, all } = await start("plain");
    assert.equal(exitCode, 0, all);
    assert.match(all, /^yolov8n, 6 training and 3 validation pictures, 2 labels; everything goes to .*plain$/m);
    assert.match(all, /^epoch {4}2 {2}box \d+\.\d{3} cls \d+\.\d{3} dfl \d+\.\d{3} {2}mAP50 .*images\/s/m);
    assert.match(all, /^cat +2 /m);
    const files = await readdir(path.join(root, "plain"));
    for (const name of ["best.onnx", "best.pt", "best.safetensors", "report.html", "results.csv"]) assert.ok(files.includes(name), name);
  }).timeout(120_000);

  it("saves on Ctrl-C, and the same command goes on; options come from a TypeScript module too", async () => {
    const config = path.join(root, "options.ts");
    await writeFile(
      config,
      'import type { TrainConfig } from "@airloom/yolo/train/options.ts";\nexport default { epochs: 500, augment: { flip: 0 } } satisfies TrainConfig;\n',
    );
    const command = () =>
      execa(airloom, ["train", "--data", data, "--out", path.join(root, "stopped"), "--imgsz", "64", "--batch", "3", "--config", config], {
        cwd: project,
        all: true,
        reject: false,
        detached: true,
      });
    const first = command();
    await said(first, /^epoch/m);
    // As a terminal does it: to all of the group.
    process.kill(-first.pid!, "SIGINT");
    const { exitCode, all } = await first;
    assert.equal(exitCode, 130, all);
    assert.match(all, /stopped; the run is saved in .*stopped: the same command goes on with it/);
    const second = command();
    await said(second, /^epoch/m);
    second.kill("SIGTERM");
    assert.match((await second).all, /going on from epoch \d+, step \d/);
  }).timeout(120_000);

  it("says of labels that changed while it ran", async () => {
    const own = path.join(root, "changing");
    await cp(data, own, { recursive: true });
    const run = execa(airloom, ["train", "--data", own, "--out", path.join(root, "changed"), ...small], { cwd: project, all: true, reject: false });
    // It has read the labels then, and all of the training is to come.
    await said(run, /everything goes to/);
    await writeFile(path.join(own, "labels/train/2.txt"), "1 0.5 0.5 0.2 0.2\n");
    const { exitCode, all } = await run;
    assert.equal(exitCode, 0, all);
    assert.match(all, /the labels of 1 pictures changed while training ran \(.*images\/train\/2\.png\): this model has learned them as they were at its start/);
  }).timeout(120_000);

  it("refuses what it cannot train with, by name, before it begins", async () => {
    const refused = async (message: RegExp, ...more: string[]) => {
      const { exitCode, all } = await execa(airloom, ["train", ...more, "--out", path.join(root, "refused")], { cwd: project, all: true, reject: false });
      assert.equal(exitCode, 1, all);
      assert.match(all, message);
    };
    await refused(/nowhere is not there: --data names a folder with data\.yaml/, "--data", path.join(root, "nowhere"));
    await refused(/imgsz: .*32/, "--data", data, "--imgsz", "100");
    await refused(/model: is not one of yolov8n/, "--data", data, "--model", "yolov9");
    const config = path.join(root, "wrong.ts");
    await writeFile(config, "export default { epoch: 3 };\n");
    await refused(/wrong\.ts: Unrecognized key: "epoch"/, "--data", data, "--config", config);
    await writeFile(config, "export default { side: 100, augment: { flop: 1, mixup: 2 } };\n");
    await refused(
      /wrong\.ts: side: .*32.*\n.*wrong\.ts: augment\.mixup: .*<=1\n.*wrong\.ts: augment: Unrecognized key: "flop"/,
      "--data",
      data,
      "--config",
      config,
    );
    await refused(/command line: augment\.mixup: .*<=1/, "--data", data, "--mixup", "3");
    await refused(/precision bf16 needs the traced engine/, "--data", data, "--precision", "bf16", "--engine", "eager");
    const broken = path.join(root, "broken");
    await cp(data, broken, { recursive: true });
    await writeFile(path.join(broken, "labels/train/1.txt"), "7 0.5 0.5 0.4 0.4\n");
    await refused(/broken\/labels\/train\/1\.txt.*7/, "--data", broken);
    await writeFile(path.join(broken, "data.yaml"), "train: images/train\nnames: [cat, dog]\n");
    await refused(/data\.yaml: "val" must name a folder of pictures/, "--data", broken);
  }).timeout(120_000);
});

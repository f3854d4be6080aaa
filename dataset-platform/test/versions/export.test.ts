// A version laid out for training.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, readdir, readFile, rm, stat, utimes, writeFile } from "node:fs/promises";
import path from "node:path";
import { splitPosition, TooFewGroups } from "@airloom/dataset-platform/labels/split.ts";
import { EmptyVersion, UnknownClass } from "@airloom/dataset-platform/versions/errors.ts";
import { readDataHeader } from "@airloom/dataset-platform/versions/export-files.ts";
import { exportVersion, readDataFile } from "@airloom/dataset-platform/versions/export-version.ts";
import { openTestRepository, type TestRepository } from "./open-repository.ts";

describe("an export", function () {
  this.timeout(60_000);
  let place: TestRepository;
  let parent: string;
  const make = async (options: { split?: number; test?: number; labels?: string[]; version?: string } = {}) => {
    const { version = "HEAD", split = 0.5, ...rest } = options;
    const { registry } = place;
    return exportVersion(place.repository, await place.repository.findVersion(version, { registry }), { parent, split, registry, ...rest });
  };

  beforeEach(async () => {
    place = await openTestRepository();
    parent = place.at(".airloom/exports");
  });
  afterEach(async () => place.close());

  it("holds an old version's pictures and boxes, hard-linked, and leaves the work tree alone", async () => {
    const shas = [await place.add(), await place.add(), await place.add({ boxes: [] })];
    await place.commit("one");
    await place.add();
    await place.commit("two");
    const before = await place.git("rev-parse", "HEAD");
    const { folder, counts, commit } = await make({ version: "HEAD~1" });
    assert.equal(counts.train + counts.validation, 3);
    assert.equal(commit, await place.git("rev-parse", "HEAD~1"));
    const data = await readDataFile(folder);
    const all = [...data.train, ...data.validation];
    assert.deepEqual(all.map(({ sha256 }) => sha256).toSorted(), shas.toSorted());
    const [one] = all.filter(({ sha256 }) => sha256 === shas[0]);
    assert.deepEqual(one!.objects, [{ cls: 0, xywh: [0.5, 0.5, 0.25, 0.5] }]);
    assert.ok((await stat(path.join(folder, one!.image))).nlink >= 3);
    assert.equal(
      await readFile(path.join(folder, one!.image.replace("images", "labels").replace(/jpg$/, "txt")), "utf8"),
      "0 0.500000 0.500000 0.250000 0.500000\n",
    );
    assert.match(await readFile(path.join(folder, "data.yaml"), "utf8"), /train: images\/train\nval: images\/val\nnames:\n {2}0: "car"/);
    assert.equal(await place.git("rev-parse", "HEAD"), before);
    assert.equal(await place.git("status", "--porcelain"), "");
  });

  it("says of each picture which labels people were asked to mark, and on how many each was", async () => {
    const car = await place.add({ asked: ["car"] });
    const truck = await place.add({ asked: ["truck"] });
    const both = await place.add({ asked: ["truck", "car"], boxes: [] });
    await place.commit();
    const { folder, labels, askedOn } = await make();
    assert.deepEqual(
      [labels, askedOn],
      [
        ["car", "truck"],
        [2, 2],
      ],
    );
    const data = await readDataFile(folder);
    const asked = Object.fromEntries([...data.train, ...data.validation].map((picture) => [picture.sha256, picture.asked]));
    assert.deepEqual(asked, { [car]: [0], [truck]: [1], [both]: [0, 1] });
  });

  it("says what was asked in that version, though it was asked otherwise since", async () => {
    const sha256 = await place.add({ asked: ["car"], boxes: [] });
    await place.add({ asked: ["car"] });
    await place.commit("one");
    await place.label(sha256, [], ["car", "truck"]);
    await place.commit("two");
    const askedIn = async (version: string) => {
      const data = await readDataFile((await make({ version })).folder);
      return [...data.train, ...data.validation].find((picture) => picture.sha256 === sha256)!.asked;
    };
    assert.deepEqual(await askedIn("HEAD~1"), [0]);
    assert.deepEqual(await askedIn("HEAD"), [0, 1]);
  });

  it("holds the wanted labels alone, numbered anew, without pictures that say nothing of them", async () => {
    await place.add({ asked: ["car"] });
    const shas = [await place.add({ asked: ["truck", "car"] }), await place.add({ asked: ["truck"] })];
    await place.commit();
    const { folder, labels } = await make({ labels: ["truck"] });
    assert.deepEqual(labels, ["truck"]);
    const data = await readDataFile(folder);
    const all = [...data.train, ...data.validation];
    assert.deepEqual(all.map(({ sha256 }) => sha256).toSorted(), shas.toSorted());
    for (const { objects, asked, image } of all) {
      assert.deepEqual(objects, [{ cls: 0, xywh: [0.5, 0.5, 0.25, 0.5] }]);
      assert.deepEqual(asked, [0]);
      assert.match(await readFile(path.join(folder, image.replace("images", "labels").replace(/jpg$/, "txt")), "utf8"), /^0 /);
    }
    await assert.rejects(
      make({ labels: ["truck", "bus"] }),
      (error) => error instanceof UnknownClass && /has no "bus": its classes are car, truck/.test(error.message),
    );
  });

  it("has the pictures of one group on one side", async () => {
    const first = await place.add();
    const group = [first];
    for (let i = 0; i < 6; i++) group.push(await place.add({ group: first }));
    for (let i = 0; i < 6; i++) await place.add();
    await place.commit();
    const data = await readDataFile((await make()).folder);
    const held = [data.train, data.validation].map((part) => part.filter(({ sha256 }) => group.includes(sha256)).length);
    assert.deepEqual(held, splitPosition(first) < 0.5 ? [7, 0] : [0, 7]);
  });

  it("has a test part where one is asked for", async () => {
    for (let i = 0; i < 8; i++) await place.add();
    await place.commit();
    const { counts, folder } = await make({ split: 0.4, test: 0.3 });
    assert.ok(counts.train > 0 && counts.validation > 0 && counts.test > 0);
    const data = await readDataFile(folder);
    for (const { image } of data.test) assert.match(image, /^images\/test\//);
    assert.match(await readFile(path.join(folder, "data.yaml"), "utf8"), /test: images\/test/);
  });

  it("is refused where it would be too small to train with", async () => {
    const first = await place.add();
    await place.commit();
    await assert.rejects(make(), (error) => error instanceof EmptyVersion && /has 1 labelled image/.test(error.message));
    await place.add({ group: first });
    await place.commit();
    await assert.rejects(make(), TooFewGroups);
  });

  it("is made by two at once, and used again by a third", async () => {
    for (let i = 0; i < 4; i++) await place.add();
    await place.commit();
    const [one, two] = await Promise.all([make(), make()]);
    assert.equal(one.folder, two.folder);
    const { ino } = await stat(one.folder);
    assert.equal((await make()).folder, one.folder);
    assert.equal((await stat(one.folder)).ino, ino);
    assert.deepEqual(await readdir(parent), [path.basename(one.folder)]);
  });

  it("stays while something has used it within a month, and as long as it is one of the newest", async () => {
    for (let i = 0; i < 3; i++) await place.add();
    await place.commit();
    const made: string[] = [];
    for (let i = 0; i < 7; i++) made.push((await make({ split: 0.5 + i / 100 })).folder);
    const daysAgo = async (folder: string, days: number) => utimes(folder, new Date(), new Date(Date.now() - days * 86_400_000));
    await mkdir(path.join(parent, ".left.tmp"));
    await daysAgo(path.join(parent, ".left.tmp"), 2);
    for (const folder of made) await daysAgo(folder, 40);
    // A training reads this one.
    await readDataHeader(made[0]!);
    const last = (await make({ split: 0.9 })).folder;
    const left = await readdir(parent);
    assert.equal(left.length, 5);
    for (const folder of [made[0]!, last]) assert.ok(left.includes(path.basename(folder)));
  });

  it("is mended where a file of it is damaged", async () => {
    for (let i = 0; i < 3; i++) await place.add();
    await place.commit();
    const { folder } = await make();
    const data = await readDataFile(folder);
    const file = path.join(folder, data.train[0]!.image);
    await rm(file);
    await writeFile(file, "cut");
    await make();
    assert.equal((await stat(file)).size, 40);
  });

  it("takes no more open files than a cluster allows", async () => {
    for (let i = 0; i < 150; i++) await place.add({ boxes: [[0.5, 0.5, 0.1, 0.1 + i / 1000]] });
    await place.commit();
    await rm(place.at(".dvc/cache/files/md5"), { recursive: true });
    const script = `
      const { storageLayout } = await import("@airloom/dataset-platform/store/layout.ts");
      const { DataRepository } = await import("@airloom/dataset-platform/versions/data-repository.ts");
      const { exportVersion } = await import("@airloom/dataset-platform/versions/export-version.ts");
      const storage = storageLayout(${JSON.stringify(place.at())});
      const repository = new DataRepository({ storage, dvc: "none", remoteUrl: ".remote" });
      const { counts } = await exportVersion(repository, await repository.findVersion("HEAD"), { parent: ${JSON.stringify(parent)}, split: 0.8 });
      process.exit(counts.train + counts.validation === 150 ? 0 : 1);`;
    const child = spawn("bash", ["-c", 'ulimit -n 128; exec "$0" --import tsx --input-type=module -e "$1"', process.execPath, script], {
      stdio: ["ignore", "inherit", "inherit"],
      cwd: path.resolve(import.meta.dirname, "../.."),
    });
    const [code] = (await once(child, "close")) as [number];
    assert.equal(code, 0);
  }).timeout(180_000);
});

// A version is what the registry's rows say, never what lies in a folder.
import assert from "node:assert/strict";
import { appendFile, mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { excludeImages, restoreImages } from "@airloom/dataset-platform/registry/images.ts";
import { newestVersion, uncommittedChanges } from "@airloom/dataset-platform/registry/versions.ts";
import { imagePath, labelPath } from "@airloom/dataset-platform/store/layout.ts";
import { MissingFiles } from "@airloom/dataset-platform/versions/errors.ts";
import { openTestRepository, run, type TestRepository } from "./open-repository.ts";

describe("a version made from rows", function () {
  this.timeout(60_000);
  let place: TestRepository;
  const imageFile = (sha256: string) => place.at("images", imagePath(sha256, "jpg"));
  const nfiles = async () => [...(await place.git("show", "HEAD:images.dvc")).matchAll(/nfiles: (\d+)/g)].reduce((sum, [, n]) => sum + Number(n), 0);
  const refused = (words: RegExp) => (error: unknown) => {
    assert.ok(error instanceof MissingFiles, String(error));
    assert.match(error.message, words);
    assert.match(error.message, /npx airloom data verify.*npx airloom data rebuild/);
    return true;
  };

  beforeEach(async () => {
    place = await openTestRepository();
  });
  afterEach(async () => place.close());

  it("is refused, and changes nothing, where images/ is not mounted", async () => {
    const first = await place.add();
    const before = await place.commit();
    await place.label(first, [[0.1, 0.1, 0.1, 0.1]]);
    await rename(place.at("images"), place.at("../elsewhere"));
    await assert.rejects(place.commit(), refused(new RegExp(`1 of its pictures.*images/${imagePath(first, "jpg")} is missing`)));
    await mkdir(place.at("images"));
    await assert.rejects(place.commit(), refused(/is missing/));
    assert.equal(await place.git("rev-parse", "HEAD"), before);
    assert.equal(await place.git("status", "--porcelain"), "");
    await rm(place.at("images"), { recursive: true });
    await rename(place.at("../elsewhere"), place.at("images"));
    assert.notEqual(await place.commit(), before);
  });

  it("names ten of the pictures that are missing or have another size, and how many there are", async () => {
    const shas = await Promise.all(Array.from({ length: 12 }, () => place.add()));
    await place.add();
    for (const sha256 of shas.slice(0, 11)) await rm(imageFile(sha256));
    await appendFile(imageFile(shas[11]!), "more");
    await assert.rejects(place.commit(), refused(/12 of its pictures .*(images\/\S+ (is missing|has 44 bytes, not 40),? ){10}and 2 more/));
    await assert.rejects(place.git("rev-parse", "--verify", "HEAD"));
  });

  it("is refused where a picture has its size and other bytes: an object's name is its hash", async () => {
    const sha256 = await place.add();
    await writeFile(imageFile(sha256), "x".repeat(40));
    await assert.rejects(place.commit(), refused(/is damaged: its MD5 is not/));
  });

  it("holds what is stored in rows and nothing else that lies in images/", async () => {
    const [a, b] = [await place.add(), await place.add()];
    const unlabelled = await place.add({ labelled: false });
    // Half of another run's batch, and a stray file.
    await writeFile(place.at("images", labelPath(unlabelled)), "0 0.5 0.5 0.1 0.1\n");
    await writeFile(path.join(path.dirname(imageFile(a)), "stray.jpg"), "stray");
    await place.commit();
    assert.equal(await nfiles(), 4);
    const version = await place.repository.findVersion("HEAD", { registry: place.registry });
    assert.deepEqual(version.folders.map(({ path }) => path).toSorted(), [a, b].map((sha256) => `images/${sha256.slice(0, 2)}`).toSorted());
  });

  it("has label files whose bytes come from the boxes, whatever a label file says", async () => {
    const sha256 = await place.add();
    await writeFile(place.at("images", labelPath(sha256)), "7 0 0 0 0\n");
    await place.commit();
    assert.equal(await readFile(place.at("images", labelPath(sha256)), "utf8"), "0 0.500000 0.500000 0.250000 0.500000\n");
    assert.match(await place.dvc(place.at(), "status"), /up to date/);
  });

  it("is another one where the same boxes were asked of other classes", async () => {
    const sha256 = await place.add({ asked: ["car"], boxes: [] });
    const before = await place.commit();
    await place.label(sha256, [], ["car", "truck"]);
    const after = await place.commit();
    assert.match(after, /^[0-9a-f]{40}$/);
    assert.notEqual(after, before);
    assert.deepEqual(await uncommittedChanges(place.registry.db), []);
    assert.equal(await place.repository.commit("again", place.registry, run), undefined);
  });

  it("may be left by all its pictures, and they may come back", async () => {
    const sha256 = await place.add();
    await place.commit();
    await place.registry.transaction((trx) => excludeImages(trx, [sha256], "a test", run));
    await place.commit();
    assert.equal(await place.git("ls-tree", "--name-only", "HEAD", "images.dvc"), "");
    assert.equal(await place.git("status", "--porcelain"), "");
    await place.registry.transaction((trx) => restoreImages(trx, [sha256], run));
    await place.commit();
    assert.equal(await nfiles(), 2);
    assert.equal((await newestVersion(place.registry.db))!.images, 1);
    assert.match(await place.dvc(place.at(), "status"), /up to date/);
  });

  it("is not made where nothing was ever labelled", async () => {
    await place.add({ labelled: false });
    assert.equal(await place.repository.commit("nothing", place.registry, run), undefined);
    assert.equal(await place.repository.tryHead(), undefined);
  });
});

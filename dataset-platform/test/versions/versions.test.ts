// A dataset's versions, with the real Git and the real dvc.
import assert from "node:assert/strict";
import { readdir, readFile, stat, writeFile } from "node:fs/promises";
import path from "node:path";
import { excludeImages } from "@airloom/dataset-platform/registry/images.ts";
import { formatYolo } from "@airloom/dataset-platform/labels/yolo-labels.ts";
import { labelPath } from "@airloom/dataset-platform/store/layout.ts";
import { CommitRefused, NoSuchVersion } from "@airloom/dataset-platform/versions/errors.ts";
import { openTestRepository, run, type TestRepository } from "./open-repository.ts";

describe("a dataset's versions", function () {
  this.timeout(180_000);
  let place: TestRepository;
  let shas: string[];

  before(async () => {
    place = await openTestRepository();
    shas = [];
    for (let n = 0; n < 4; n++) shas.push(await place.add({ asked: ["Straße 車", "car"] }));
  });
  after(async () => place.close());

  it("are commits that the real dvc finds clean, and pulls in a fresh clone", async () => {
    const { at, git } = place;
    const commit = await place.commit("Auto-commit: first");
    assert.match(commit, /^[0-9a-f]{40}$/);
    assert.equal(await git("log", "-1", "--format=%s"), "Auto-commit: first");
    assert.equal(await readFile(at("classes.txt"), "utf8"), "Straße 車\ncar\n");
    assert.equal(await readFile(at("images", labelPath(shas[0]!)), "utf8"), formatYolo([{ cls: 0, xywh: [0.5, 0.5, 0.25, 0.5] }]));
    assert.match(await place.dvc(at(), "status"), /up to date/);
    assert.equal(await git("status", "--porcelain"), "");
    const clone = at("../clone");
    await git("clone", "--quiet", at(), clone);
    // The default remote is within the storage folder, so a clone is told where that is.
    await place.dvc(clone, "remote", "modify", "--local", "storage", "url", at(".remote"));
    await place.dvc(clone, "pull");
    const files = (await readdir(path.join(clone, "images"), { recursive: true })).filter((name) => /\.(jpg|txt)$/.test(name));
    assert.equal(files.length, 8);
    assert.match(await place.dvc(clone, "status"), /up to date/);
  });

  it("are not made where nothing has changed", async () => {
    const before = await place.git("rev-parse", "HEAD");
    assert.equal(await place.repository.commit("Auto-commit: nothing", place.registry, run), undefined);
    assert.equal(await place.git("rev-parse", "HEAD"), before);
  });

  it("commit their own paths only: what a person has staged or changed stays as it was", async () => {
    const { at, git } = place;
    await writeFile(at("notes.md"), "mine");
    await writeFile(at("draft.md"), "draft");
    await git("add", "notes.md");
    shas.push(await place.add({ boxes: [] }));
    const commit = await place.commit("Auto-commit: second");
    assert.deepEqual((await git("show", "--name-only", "--format=", commit)).split("\n"), ["images.dvc"]);
    assert.deepEqual((await git("status", "--porcelain")).split("\n"), ["A  notes.md", "?? draft.md"]);
  });

  it("write again only the folders that a batch touches", async () => {
    const before = await place.git("show", "HEAD:images.dvc");
    const sha256 = await place.add();
    await place.commit();
    const changed = (await place.git("show", "HEAD:images.dvc")).split("- md5: ").filter((out) => !before.includes(out.trim()));
    assert.equal(changed.length, 1);
    assert.match(changed[0]!, new RegExp(`nfiles: 2\\n {2}hash: md5\\n {2}path: images/${sha256.slice(0, 2)}`));
    assert.match(await place.dvc(place.at(), "diff", "HEAD~1", "HEAD"), new RegExp(sha256));
    await excludeAndForget(sha256);
  });

  async function excludeAndForget(sha256: string) {
    await place.registry.transaction((trx) => excludeImages(trx, [sha256], "a test", run));
    await place.commit("Auto-commit: one is out");
    assert.doesNotMatch(await place.git("show", "HEAD:images.dvc"), new RegExp(`path: images/${sha256.slice(0, 2)}\n`));
    await assert.rejects(stat(place.at("images", labelPath(sha256))), { code: "ENOENT" });
  }

  it("can be checked out with the real git and dvc, there and back", async () => {
    const { git } = place;
    const clone = place.at("../clone");
    await git("-C", clone, "pull", "--quiet");
    await place.dvc(clone, "pull");
    const count = async () => (await readdir(path.join(clone, "images"), { recursive: true })).filter((name) => /\.(jpg|txt)$/.test(name)).length;
    assert.equal(await count(), 10);
    await git("-C", clone, "checkout", "--quiet", "HEAD~3");
    await place.dvc(clone, "checkout");
    assert.equal(await count(), 8);
    await git("-C", clone, "checkout", "--quiet", "main");
    await place.dvc(clone, "checkout");
    assert.equal(await count(), 10);
  });

  it("are looked up by HEAD, branch, tag and SHA; anything else is refused with what there is", async () => {
    const { git, repository } = place;
    const first = await git("rev-list", "--max-parents=0", "HEAD");
    await git("tag", "v1", first);
    await git("tag", "-a", "release/2026-11", "-m", "annotated", first);
    for (const name of ["v1", "release/2026-11", first.slice(0, 10), first]) assert.equal((await repository.findVersion(name)).commit, first);
    assert.equal((await repository.findVersion("main")).commit, (await repository.findVersion("HEAD")).commit);
    assert.equal((await repository.findVersion("HEAD^")).commit, await git("rev-parse", "HEAD^"));
    for (const name of ["nope", "--help", "HEAD~99", "", "v1; rm -rf /", "HEAD:images.dvc"])
      await assert.rejects(repository.findVersion(name), (error: Error) => {
        assert.ok(error instanceof NoSuchVersion);
        assert.match(error.message, /there is no dataset version .*branches and tags: main, release\/2026-11, v1/);
        return true;
      });
  });

  it("refuse a detached HEAD, where a commit would be lost", async () => {
    await place.git("checkout", "--quiet", "--detach");
    await place.add();
    await assert.rejects(place.commit(), (error) => error instanceof CommitRefused && /detached HEAD/.test(error.message));
    await place.git("checkout", "--quiet", "main");
    assert.match(await place.commit(), /^[0-9a-f]{40}$/);
  });
});

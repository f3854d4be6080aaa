// What a person does to the branch and the work tree by hand loses no picture.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { chmod, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { imagePath, labelPath } from "@airloom/dataset-platform/store/layout.ts";
import { objectPath } from "@airloom/dataset-platform/versions/dvc-objects.ts";
import { CommitRefused, UnknownPictures } from "@airloom/dataset-platform/versions/errors.ts";
import { exportVersion } from "@airloom/dataset-platform/versions/export-version.ts";
import { openTestRepository, type TestRepository } from "./open-repository.ts";

describe("the branch and the work tree", function () {
  this.timeout(120_000);
  let place: TestRepository;
  const nfiles = async (commit = "HEAD") =>
    [...(await place.git("show", `${commit}:images.dvc`)).matchAll(/nfiles: (\d+)/g)].reduce((sum, [, n]) => sum + Number(n), 0);
  const add = async (count: number) => {
    for (let i = 0; i < count; i++) await place.add();
  };

  beforeEach(async () => {
    place = await openTestRepository();
  });
  afterEach(async () => place.close());

  it("keep all pictures where somebody looked at an old version, and went back without dvc", async () => {
    await add(5);
    await place.commit("v1");
    await place.git("tag", "v1");
    await add(10);
    await place.commit("v2");
    await place.git("checkout", "--quiet", "v1");
    await place.dvc(place.at(), "checkout", "--quiet");
    await place.git("checkout", "--quiet", "main");
    await add(2);
    await place.commit("v3");
    assert.equal(await nfiles(), 34);
    await place.dvc(place.at(), "checkout", "--quiet");
    assert.match(await place.dvc(place.at(), "status"), /up to date/);
  });

  it("keep all pictures where the branch was reset behind the newest version: it is written again, and told", async () => {
    await add(3);
    await place.commit("v1");
    await add(3);
    await place.commit("v2");
    await place.git("reset", "--quiet", "--hard", "HEAD~1");
    await place.commit("v3");
    assert.equal(await nfiles(), 12);
    assert.ok(place.news.some((text) => /does not hold the newest dataset version/.test(text)));
  });

  it("are brought in step where the work tree's images.dvc is an old one", async () => {
    await add(3);
    await place.commit("v1");
    await add(3);
    await place.commit("v2");
    await place.git("checkout", "--quiet", "HEAD~1", "--", "images.dvc");
    assert.equal(await place.repository.commit("nothing new", place.registry, { person: "x" }), undefined);
    assert.equal(await readFile(place.at("images.dvc"), "utf8"), `${await place.git("show", "HEAD:images.dvc")}\n`);
  });

  it("cost one folder where a person has committed something else on top", async () => {
    await add(3);
    await place.commit("v1");
    await writeFile(place.at("notes.md"), "mine");
    await place.git("add", "notes.md");
    await place.git("commit", "--quiet", "-m", "notes");
    await add(1);
    const commit = await place.commit("v2");
    assert.deepEqual((await place.git("show", "--name-only", "--format=", commit)).split("\n"), ["images.dvc"]);
    assert.ok(!place.news.some((text) => /does not hold the newest/.test(text)));
  });

  it("take no commit that would lose labelled pictures which the registry does not know", async () => {
    await add(2);
    await place.commit("v1");
    const other = await openTestRepository();
    try {
      // The registry was lost, and a new one knows a new picture only.
      const lost = place.open();
      await other.add();
      await assert.rejects(lost.commit("v2", other.registry, { person: "x" }), (error) => {
        assert.ok(error instanceof UnknownPictures);
        assert.match(error.message, /holds 2 labelled pictures/);
        return true;
      });
    } finally {
      await other.close();
    }
  });

  it("move from the one folder of earlier releases to many, and old versions stay readable", async () => {
    const shas = [await place.add(), await place.add()];
    await place.repository.ensure();
    // A version as an earlier release has made it.
    const cache = place.at(".dvc/cache");
    const put = async (data: string | Buffer, suffix = "") => {
      const oid = createHash("md5").update(data).digest("hex") + suffix;
      await mkdir(path.dirname(objectPath(cache, oid)), { recursive: true });
      await writeFile(objectPath(cache, oid), data);
      return oid;
    };
    const entries: { md5: string; relpath: string }[] = [];
    let size = 0;
    for (const sha256 of shas) {
      const image = await readFile(place.at("images", imagePath(sha256, "jpg")));
      size += image.length + 2;
      entries.push({ md5: await put(image), relpath: imagePath(sha256, "jpg") }, { md5: await put("\n\n"), relpath: labelPath(sha256) });
    }
    entries.sort((a, b) => (a.relpath < b.relpath ? -1 : 1));
    const list = `[${entries.map(({ md5, relpath }) => `{"md5": "${md5}", "relpath": "${relpath}"}`).join(", ")}]`;
    const oid = await put(list, ".dir");
    await writeFile(place.at("images.dvc"), `outs:\n- md5: ${oid}\n  size: ${size}\n  nfiles: 4\n  hash: md5\n  path: images\n`);
    await writeFile(place.at("classes.txt"), "car\n");
    await place.git("add", ".");
    await place.git("commit", "--quiet", "-m", "Auto-commit: long ago");
    await place.add();
    await place.commit("Auto-commit: now");
    assert.equal(await nfiles(), 6);
    assert.match(await place.git("show", "HEAD:images.dvc"), /path: images\/[0-9a-f]{2}\n/);
    assert.match(await place.dvc(place.at(), "status"), /up to date/);
    const old = await place.repository.findVersion("HEAD~1", { registry: place.registry });
    const { counts } = await exportVersion(place.repository, old, { parent: place.at(".airloom/exports"), split: 0.5, registry: place.registry });
    assert.equal(counts.train + counts.validation, 2);
    // The remote has what the older commit holds, too.
    await rm(cache, { recursive: true });
    await place.repository.findVersion("HEAD~1");
  });

  it("run the hooks of git commit: one that fails refuses the commit with its words, and one may write the message", async () => {
    await add(1);
    await place.repository.ensure();
    const hook = async (name: string, text: string) => {
      await writeFile(place.at(".git/hooks", name), `#!/bin/sh\n${text}\n`);
      await chmod(place.at(".git/hooks", name), 0o755);
    };
    await hook("pre-commit", 'git diff --cached --name-only | grep -q images.dvc && echo "no data on Fridays" >&2 && exit 1');
    await assert.rejects(place.commit(), (error) => error instanceof CommitRefused && /pre-commit hook.*no data on Fridays/s.test(error.message));
    await assert.rejects(place.git("rev-parse", "--verify", "HEAD"));
    await rm(place.at(".git/hooks/pre-commit"));
    await hook("commit-msg", 'echo "Reviewed-by: nobody" >> "$1"');
    await hook("post-commit", "git rev-parse HEAD > after.txt");
    const commit = await place.commit("Auto-commit: hooked");
    assert.equal(await place.git("log", "-1", "--format=%B"), "Auto-commit: hooked\nReviewed-by: nobody\n");
    assert.equal((await readFile(place.at("after.txt"), "utf8")).trim(), commit);
  });

  it("run dvc's own pre-commit hook, which takes dvc's lock", async () => {
    await add(1);
    await place.commit();
    await place.dvc(place.at(), "install");
    const { PATH } = process.env;
    process.env["PATH"] = `${path.dirname(process.env["DVC"] ?? path.resolve(".venv/bin/dvc"))}:${PATH}`;
    try {
      await add(1);
      assert.match(await place.commit(), /^[0-9a-f]{40}$/);
    } finally {
      process.env["PATH"] = PATH;
    }
  });
});

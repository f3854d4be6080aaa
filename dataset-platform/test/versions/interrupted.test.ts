// kill -9 anywhere, and two at once: each version is made once, whole.
import assert from "node:assert/strict";
import { chmod, mkdir, readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { execa } from "execa";
import { interruptedVersion, uncommittedChanges, unpushedVersions } from "@airloom/dataset-platform/registry/versions.ts";
import { tryParsePointers } from "@airloom/dataset-platform/versions/pointers.ts";
import { openTestRepository, run, type TestRepository } from "./open-repository.ts";

const committer = fileURLToPath(new URL("commit-once.ts", import.meta.url));

describe("a commit", function () {
  this.timeout(120_000);
  let place: TestRepository;
  const start = (env: Record<string, string> = {}) =>
    execa(process.execPath, ["--import", "tsx", committer, place.tested.url, place.storage.root], { env, reject: false, all: true });
  /** How many labelled pictures a text of `images.dvc` counts: each is two files, and several may share a folder. */
  const picturesIn = (pointers: string) => tryParsePointers(pointers)!.reduce((sum, { files }) => sum + files, 0) / 2;
  const pictures = async () => picturesIn(await place.git("show", "HEAD:images.dvc"));

  beforeEach(async () => {
    place = await openTestRepository();
  });
  afterEach(async () => place.close());

  // A git that kills its caller stands for a power cut: before or after a step of the commit.
  for (const [step, when] of [
    ["read-tree", "before"],
    ["commit-tree", "before"],
    ["commit-tree", "after"],
    ["update-ref", "before"],
    ["update-ref", "after"],
    ["add", "after"],
  ] as const)
    it(`that is killed ${when} git ${step} is made once by the next run`, async () => {
      await place.add();
      await place.commit("one");
      for (let i = 0; i < 3; i++) await place.add();
      const bin = place.at("../bin");
      await mkdir(bin);
      const { stdout: git } = await execa("which", ["git"]);
      const kill = `kill -9 $PPID; exit 1`;
      await writeFile(
        path.join(bin, "git"),
        `#!/bin/sh\nif [ "$1" = ${step} ]; then ${when === "after" ? `${git} "$@"; ` : ""}${kill}; fi\nexec ${git} "$@"\n`,
      );
      await chmod(path.join(bin, "git"), 0o755);
      const killed = await start({ PATH: `${bin}:${process.env["PATH"]}` });
      assert.equal(killed.signal, "SIGKILL", killed.all);
      await place.repository.commit("two", place.registry, run);
      assert.equal(await pictures(), 4);
      assert.equal(await place.git("rev-list", "--count", "HEAD"), "2");
      assert.equal(await interruptedVersion(place.registry.db), undefined);
      assert.deepEqual(await uncommittedChanges(place.registry.db), []);
      assert.deepEqual(await unpushedVersions(place.registry.db, "storage:.remote"), []);
      const commits = await place.registry.db.selectFrom("versions").select("commit").orderBy("id").execute();
      assert.deepEqual(
        commits.map(({ commit }) => commit),
        (await place.git("rev-list", "--reverse", "HEAD")).split("\n"),
      );
      assert.equal(await place.git("status", "--porcelain"), "");
    });

  it("that is killed while Git makes the repository is made by the next run", async () => {
    await place.add();
    const bin = place.at("../bin");
    await mkdir(bin);
    const { stdout: git } = await execa("which", ["git"]);
    // As far as git init comes first: a folder .git with nothing in it, where it was told to make one.
    const half = `for last; do :; done; case "$last" in -*) last=.;; esac; mkdir -p "$last/.git"; kill -9 $PPID; exit 1`;
    await writeFile(path.join(bin, "git"), `#!/bin/sh\nif [ "$1" = init ]; then ${half}; fi\nexec ${git} "$@"\n`);
    await chmod(path.join(bin, "git"), 0o755);
    const killed = await start({ PATH: `${bin}:${process.env["PATH"]}` });
    assert.equal(killed.signal, "SIGKILL", killed.all);
    await place.repository.commit("one", place.registry, run);
    assert.equal(await place.git("rev-list", "--count", "HEAD"), "1");
    assert.equal(await place.git("status", "--porcelain"), "");
  });

  // What Git leaves that is killed itself, while it moves the branch or refreshes the index.
  for (const [step, lock] of [
    ["update-ref", "refs/heads/main.lock"],
    ["update-ref", "HEAD.lock"],
    ["reset", "index.lock"],
  ] as const)
    it(`that is killed with its Git during git ${step}, which leaves ${lock}, is made once by the next run`, async () => {
      await place.add();
      await place.commit("one");
      await place.add();
      const bin = place.at("../bin");
      await mkdir(bin);
      const { stdout: git } = await execa("which", ["git"]);
      await writeFile(path.join(bin, "git"), `#!/bin/sh\nif [ "$1" = ${step} ]; then : >.git/${lock}; kill -9 $PPID; exit 1; fi\nexec ${git} "$@"\n`);
      await chmod(path.join(bin, "git"), 0o755);
      const killed = await start({ PATH: `${bin}:${process.env["PATH"]}` });
      assert.equal(killed.signal, "SIGKILL", killed.all);
      await place.repository.commit("two", place.registry, run);
      assert.equal(await place.git("rev-list", "--count", "HEAD"), "2");
      assert.equal(await place.git("status", "--porcelain"), "");
    });

  it("takes away what a killed one had begun to write beside images.dvc, which Git would show", async () => {
    await place.add();
    await place.commit("one");
    await writeFile(place.at(".01234567-89ab-cdef-0123-456789abcdef.tmp"), "half");
    await place.add();
    await place.commit("two");
    assert.equal(await place.git("status", "--porcelain"), "");
  });

  it("leaves the lock of a person's Git alone", async () => {
    await place.add();
    await place.commit("one");
    await place.add();
    await writeFile(place.at(".git/refs/heads/main.lock"), "");
    await assert.rejects(place.repository.commit("two", place.registry, run), /main\.lock/);
    assert.equal(await readFile(place.at(".git/refs/heads/main.lock"), "utf8"), "");
  });

  it("waits for another's, of another process: all is committed, and nothing twice", async () => {
    for (let i = 0; i < 6; i++) await place.add();
    const all = await Promise.all([start(), start(), place.repository.commit("here", place.registry, run)]);
    for (const each of all.slice(0, 2)) assert.equal((each as { exitCode: number }).exitCode, 0, (each as { all: string }).all);
    assert.equal(await pictures(), 6);
    assert.equal(await place.git("rev-list", "--count", "HEAD"), "1");
    assert.deepEqual(await uncommittedChanges(place.registry.db), []);
  });

  it("keeps what a person commits at the same time", async () => {
    await place.add();
    await place.commit("one");
    const people = (async () => {
      for (let i = 0; i < 5; i++) {
        await writeFile(place.at(`notes-${i}.md`), "mine");
        await place.git("add", `notes-${i}.md`).catch(() => undefined);
        await place.git("commit", "--quiet", "-m", `notes ${i}`, "--", `notes-${i}.md`).catch(() => undefined);
      }
    })();
    for (let i = 0; i < 3; i++) {
      await place.add();
      await place.commit(`batch ${i}`);
    }
    await people;
    await place.add();
    await place.commit("last");
    assert.equal(await pictures(), 5);
    assert.equal(picturesIn(await readFile(place.at("images.dvc"), "utf8")), 5);
    assert.ok(!place.news.some((text) => /does not hold the newest/.test(text)), place.news.join("\n"));
  });
});

// DVC's remote: which it is, what is pushed to it, and what is said where it fails.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { chmod, mkdir, readFile, readdir, rename, rm, stat, truncate, writeFile } from "node:fs/promises";
import path from "node:path";
import { execa } from "execa";
import { storageLayout } from "@airloom/dataset-platform/store/layout.ts";
import { unpushedVersions } from "@airloom/dataset-platform/registry/versions.ts";
import { RemoteFailed } from "@airloom/dataset-platform/versions/errors.ts";
import { openTestRepository, run, type TestRepository } from "./open-repository.ts";

describe("DVC's remote", function () {
  this.timeout(120_000);
  let place: TestRepository;
  const objects = async (folder: string) =>
    (await readdir(path.join(folder, "files/md5"), { recursive: true, withFileTypes: true }).catch(() => [])).filter((entry) => entry.isFile()).length;
  const configured = async (folder = place.at()) => /^storage\s+(.*?)(\s+\(default\))?$/m.exec(await place.dvc(folder, "remote", "list"))![1]!;
  /** The real dvc finds nothing that the remote lacks. */
  const isPushed = async () => assert.match(await place.dvc(place.at(), "status", "--cloud"), /in sync/);

  beforeEach(async () => {
    place = await openTestRepository();
  });
  afterEach(async () => place.close());

  it("is changed with its setting, and gets all versions", async () => {
    await place.add();
    await place.commit("one");
    const bucket = place.at("../bucket");
    await place.add();
    await place.open({ remoteUrl: bucket }).commit("two", place.registry, run);
    // Two pictures, one label file, two lists.
    assert.equal(await objects(bucket), 5);
    assert.equal(await configured(), bucket);
    await isPushed();
    // A machine's own folder is nothing to commit.
    assert.doesNotMatch(await place.git("show", "HEAD:.dvc/config"), /bucket/);
    assert.ok(place.news.some((text) => text.includes(`DVC's remote is ${bucket} now`)));
    // And back.
    await place.repository.commit("nothing", place.registry, run);
    assert.equal(await configured(), place.at(".remote"));
    assert.equal(await objects(place.at(".remote")), 5);
  });

  for (const name of ["c#", "a,b", "it's", "q\"u'o", "sp ace", "100%", "ä=b", "$HOME", "[x]"])
    it(`may be in a folder named ${name}`, async () => {
      const remote = place.at("../with", name, "remote");
      await place.add();
      await place.open({ remoteUrl: remote }).commit("one", place.registry, run);
      assert.equal(await objects(remote), 3);
      await isPushed();
    });

  it("moves with the storage folder, and with a clone that is given it", async () => {
    await place.add();
    await place.commit("one");
    assert.match(await place.git("show", "HEAD:.dvc/config"), /url = \.\.\/\.remote/);
    const moved = storageLayout(place.at("../bigdisk/storage"));
    await mkdir(place.at("../bigdisk"));
    await rename(place.at(), moved.root);
    const sha256 = await place.add();
    await rename(path.join(place.at("images"), sha256.slice(0, 2)), path.join(moved.images, sha256.slice(0, 2))).catch(() => undefined);
    await rm(place.at(), { recursive: true });
    await place.open({ storage: moved, remoteUrl: path.join(moved.root, ".remote") }).commit("two", place.registry, run);
    assert.equal(await objects(path.join(moved.root, ".remote")), 5);
    await assert.rejects(stat(place.at()), { code: "ENOENT" });
    const clone = place.at("../clone");
    await execa("git", ["clone", "--quiet", moved.root, clone]);
    await rename(path.join(moved.root, ".remote"), path.join(clone, ".remote"));
    await place.dvc(clone, "pull");
  });

  it("gets the credentials of its URL from a file that is not committed, and they are never shown", async () => {
    const remoteUrl = "ssh://me:s3cr%40t@127.0.0.1:9/x";
    await place.add();
    await assert.rejects(place.open({ remoteUrl }).commit("one", place.registry, run), (error) => {
      assert.ok(error instanceof RemoteFailed);
      assert.doesNotMatch(error.message, /s3cr/);
      assert.match(error.message, /commit [0-9a-f]{40} is made/);
      return true;
    });
    assert.match(await place.git("show", "HEAD:.dvc/config"), /url = ssh:\/\/me@127\.0\.0\.1:9\/x/);
    assert.doesNotMatch(await place.git("log", "-p"), /s3cr/);
    assert.equal(await configured(), remoteUrl);
    assert.equal(await place.git("status", "--porcelain"), "");
  });

  it("gets no more than a commit brings", async () => {
    for (let i = 0; i < 5; i++) await place.add();
    await place.commit("one");
    const before = await objects(place.at(".remote"));
    // Nobody looks at what was pushed before: it may be on a slow disk.
    await rm(place.at(".dvc/cache/files/md5"), { recursive: true });
    await mkdir(place.at(".dvc/cache/files/md5"));
    await place.add();
    await place.commit("two");
    assert.equal(await objects(place.at(".remote")), before + 2);
  });

  it("gets what a push has left out once it can be reached again; the commit stays, and its own words are shown", async () => {
    await writeFile(place.at("../share"), "");
    const broken = place.open({ remoteUrl: place.at("../share/remote") });
    await place.add();
    await assert.rejects(
      broken.commit("one", place.registry, run),
      (error) => error instanceof RemoteFailed && /share\/remote cannot be made: .*ENOTDIR/.test(error.message),
    );
    const commit = await place.git("rev-parse", "HEAD");
    await rm(place.at("../share"));
    assert.equal(await broken.commit("one", place.registry, run), undefined);
    assert.equal(await place.git("rev-parse", "HEAD"), commit);
    assert.equal(await objects(place.at("../share/remote")), 3);
    assert.deepEqual(await unpushedVersions(place.registry.db, place.at("../share/remote")), []);
  });

  it("is not begun anew where its volume is not mounted, and is filled again where it was emptied", async () => {
    const nas = place.at("../nas");
    const repository = place.open({ remoteUrl: nas });
    await place.add();
    await repository.commit("one", place.registry, run);
    await rm(nas, { recursive: true });
    await place.add();
    await assert.rejects(
      repository.commit("two", place.registry, run),
      (error) => error instanceof RemoteFailed && /is its volume mounted\?/.test(error.message),
    );
    await mkdir(nas);
    await repository.commit("three", place.registry, run);
    assert.equal(await objects(nas), 5);
  });

  it("gets whole objects in the place of parts", async () => {
    await place.add();
    await place.commit("one");
    const folder = place.at("../other");
    const [version] = await unpushedVersions(place.registry.db, folder);
    assert.ok(version);
    await place.open({ remoteUrl: folder }).commit("x", place.registry, run);
    const entries = (await readdir(path.join(folder, "files/md5"), { recursive: true, withFileTypes: true })).filter((entry) => entry.isFile());
    const file = path.join(entries[0]!.parentPath, entries[0]!.name);
    const { size } = await stat(file);
    await chmod(file, 0o644);
    await truncate(file, 1);
    await place.repository.commit("x", place.registry, run);
    await place.open({ remoteUrl: folder }).commit("x", place.registry, run);
    assert.equal((await stat(file)).size, size);
  });

  it("is not waited for while another dvc command runs for long: a commit waits for that, and says so", async () => {
    await place.add();
    await place.commit("one");
    await place.add();
    const holder = spawn("flock", ["--exclusive", place.at(".dvc/tmp/lock"), "sleep", "60"], { stdio: "ignore", detached: true });
    try {
      const commit = place.commit("two");
      while (!place.news.some((text) => /waiting for a dvc command in this repository to end/.test(text))) await new Promise((done) => setTimeout(done, 100));
      process.kill(-holder.pid!, "SIGKILL");
      assert.match(await commit, /^[0-9a-f]{40}$/);
    } finally {
      holder.kill("SIGKILL");
    }
  });

  /** Stores that nobody listens at, whatever plugin is installed: no test asks a real one. */
  const nowhere = {
    AWS_ENDPOINT_URL: "http://127.0.0.1:9",
    AWS_ACCESS_KEY_ID: "nobody",
    AWS_SECRET_ACCESS_KEY: "nobody",
    AWS_MAX_ATTEMPTS: "1",
    AWS_EC2_METADATA_DISABLED: "true",
    STORAGE_EMULATOR_HOST: "http://127.0.0.1:9",
    NO_GCE_CHECK: "true",
    AZURE_STORAGE_CONNECTION_STRING: "nonsense",
  };

  for (const [url, words] of [
    ["s3://bucket/x", /dvc-s3.*AWS_ACCESS_KEY_ID/s],
    ["gs://bucket/x", /dvc-gs.*GOOGLE_APPLICATION_CREDENTIALS/s],
    ["ssh://127.0.0.1:9/x", /dvc-ssh.*SSH_AUTH_SOCK/s],
    ["azure://container/x", /dvc-azure.*AZURE_STORAGE_CONNECTION_STRING/s],
  ] as const)
    it(`says in full why ${url} fails, and what such a remote needs`, async () => {
      const outer = { ...process.env };
      Object.assign(process.env, nowhere);
      await place.add();
      await assert.rejects(place.open({ remoteUrl: url }).commit("one", place.registry, run), (error) => {
        assert.ok(error instanceof RemoteFailed);
        assert.match(error.message, words);
        assert.match(error.message, /It says:\n\w+/);
        return true;
      });
      assert.equal(await configured(), url);
      assert.match(await place.git("show", "HEAD:.dvc/config"), new RegExp(`url = ${url}`));
      for (const name of Object.keys(nowhere)) delete process.env[name];
      Object.assign(process.env, outer);
    });

  it("is refused where the dvc command is no Python script", async () => {
    await place.add();
    const repository = place.open({ dvc: "true", remoteUrl: "s3://bucket/x" });
    await assert.rejects(
      repository.commit("one", place.registry, run),
      (error) => error instanceof RemoteFailed && /is not a Python script/.test(error.message),
    );
  });

  it("does not take over a hand-made configuration's other settings", async () => {
    await place.add();
    await place.commit("one");
    await place.dvc(place.at(), "config", "core.checksum_jobs", "3");
    await writeFile(place.at(".dvc/config"), `# a comment\n${await readFile(place.at(".dvc/config"), "utf8")}`);
    await place.open({ remoteUrl: place.at("../other") }).commit("x", place.registry, run);
    assert.match(await readFile(place.at(".dvc/config"), "utf8"), /# a comment[^]*checksum_jobs = 3/);
  });
});

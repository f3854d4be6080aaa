import assert from "node:assert/strict";
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { execa } from "execa";
import fc from "fast-check";
import sharp from "sharp";
import { addClasses, formatYolo } from "../src/labels/yolo-labels.ts";
import { splitBy, splitPosition } from "../src/labels/split.ts";
import { Registry } from "../src/registry/registry.ts";
import { ingest } from "../src/store/ingest.ts";
import { labelPath, storageLayout } from "../src/store/layout.ts";
import { DataRepository } from "../src/versions/data-repository.ts";
import { dirObject } from "../src/versions/dvc-objects.ts";
import { exportVersion, readDataFile } from "../src/versions/export-version.ts";

const venv = fileURLToPath(new URL("../../.venv/bin/", import.meta.url));
const dvc = path.join(venv, "dvc");

describe("a dataset's versions", () => {
  let root: string;
  let repository: DataRepository;
  let registry: Registry;
  let shas: readonly string[];
  const at = (...parts: string[]) => path.join(root, "storage", ...parts);
  const git = async (folder: string, ...args: string[]) => (await execa("git", args, { cwd: folder })).stdout;
  const runDvc = async (folder: string, ...args: string[]) =>
    (await execa(dvc, args, { cwd: folder, env: { DVC_SITE_CACHE_DIR: path.join(root, "site"), DVC_NO_ANALYTICS: "1" } })).stdout;

  before(async () => {
    root = await mkdtemp(path.join(tmpdir(), "versions-"));
    await mkdir(path.join(root, "incoming"));
    // A team's own repository around the storage.
    await execa("git", ["init", "--quiet"], { cwd: root });
    const storage = storageLayout(at());
    registry = await Registry.open(storage.registry);
    for (let n = 0; n < 6; n++)
      await writeFile(
        path.join(root, "incoming", `${n}.png`),
        await sharp({ create: { width: 30 + n, height: 20, channels: 3, background: "teal" } })
          .png()
          .toBuffer(),
      );
    shas = (await ingest({ incoming: path.join(root, "incoming"), storage, registry, sourceId: "x" })).added;
    repository = new DataRepository({ storage, dvc, remoteUrl: at(".remote") });
  });
  after(async () => {
    await registry.close();
    await rm(root, { recursive: true, force: true });
  });

  it("commits images and annotations so that the real dvc finds them clean and pulls them in a fresh clone", async () => {
    await addClasses(at("classes.txt"), ["car", "Straße 車"]);
    for (const sha of shas.slice(0, 4)) await writeFile(at("images", labelPath(sha)), formatYolo([{ cls: 1, xywh: [0.5, 0.5, 0.25, 0.5] }]));
    const commit = await repository.commit("Auto-commit: first", registry);
    assert.match(commit!, /^[0-9a-f]{40}$/);
    assert.equal(await git(at(), "log", "-1", "--format=%s"), "Auto-commit: first");
    assert.match(await runDvc(at(), "status"), /up to date/);
    assert.equal(await git(at(), "status", "--porcelain"), "");
    await assert.rejects(git(root, "rev-parse", "--verify", "HEAD"), "the repository around it must get no commit");
    const clone = path.join(root, "clone");
    await git(root, "clone", "--quiet", at(), clone);
    await runDvc(clone, "pull");
    const files = (await readdir(path.join(clone, "images"), { recursive: true })).filter((name) => /\.(png|txt)$/.test(name));
    assert.equal(files.length, 10);
  }).timeout(60_000);

  it("makes no commit where nothing has changed", async () => {
    const before = await git(at(), "rev-parse", "HEAD");
    assert.equal(await repository.commit("Auto-commit: nothing", registry), undefined);
    assert.equal(await git(at(), "rev-parse", "HEAD"), before);
  }).timeout(30_000);

  it("commits its own paths only: what a person has staged or changed stays as it was", async () => {
    await writeFile(at("notes.md"), "mine");
    await writeFile(at("draft.md"), "draft");
    await git(at(), "add", "notes.md");
    await writeFile(at("images", labelPath(shas[4]!)), "");
    const commit = await repository.commit("Auto-commit: second", registry);
    assert.deepEqual((await git(at(), "show", "--name-only", "--format=", commit!)).split("\n"), ["images.dvc"]);
    assert.deepEqual((await git(at(), "status", "--porcelain")).split("\n"), ["A  notes.md", "?? draft.md"]);
  }).timeout(30_000);

  it("is looked up by HEAD, branch, tag and SHA; anything else is refused with what there is", async () => {
    const first = await git(at(), "rev-parse", "HEAD~1");
    await git(at(), "tag", "v1", first);
    assert.equal((await repository.findVersion("v1")).commit, first);
    assert.equal((await repository.findVersion(first.slice(0, 10))).commit, first);
    assert.equal((await repository.findVersion("main")).commit, (await repository.findVersion("HEAD")).commit);
    for (const name of ["nope", "--help", "HEAD~99", "", "v1; rm -rf /"]) await assert.rejects(repository.findVersion(name), /no dataset version .*main.*v1/);
  });

  it("lays an old version out without touching the work tree", async () => {
    const before = await stat(at("images", labelPath(shas[0]!)));
    const dataset = await exportVersion(repository, await repository.findVersion("v1"), { parent: path.join(root, "exports"), split: 0.5 });
    // Four of six images were labelled then.
    assert.equal(dataset.train + dataset.validation, 4);
    const data = await readDataFile(dataset.folder);
    assert.deepEqual(data.labels, ["car", "Straße 車"]);
    const [one] = data.train;
    assert.deepEqual(one!.objects, [{ cls: 1, xywh: [0.5, 0.5, 0.25, 0.5] }]);
    assert.equal((await readFile(path.join(dataset.folder, one!.image))).subarray(1, 4).toString(), "PNG");
    assert.equal((await stat(at("images", labelPath(shas[0]!)))).mtimeMs, before.mtimeMs);
    assert.match(await git(at(), "status", "--porcelain"), /notes\.md/);
  });

  it("refuses a detached HEAD, where a commit would be lost", async () => {
    await git(at(), "checkout", "--quiet", "--detach");
    await writeFile(at("images", labelPath(shas[5]!)), "");
    await assert.rejects(repository.commit("Auto-commit: third", registry), /detached HEAD/);
    await git(at(), "checkout", "--quiet", "main");
  }).timeout(30_000);
});

describe("DVC's .dir object", () => {
  it("is Python's json.dumps byte for byte, for any names (property)", async () => {
    const entry = fc.record({
      md5: fc.stringMatching(/^[0-9a-f]{32}$/),
      relpath: fc.string({ minLength: 1, unit: "binary" }),
    });
    const cases = fc.sample(fc.uniqueArray(entry, { selector: ({ relpath }) => relpath, maxLength: 8 }), 200);
    // The oracle is Python itself.
    const script = "import json,sys\nfor c in json.load(sys.stdin): print(json.dumps(json.dumps(sorted(c, key=lambda e: e['relpath']), sort_keys=True)))";
    const { stdout } = await execa("python3", ["-c", script], { input: JSON.stringify(cases) });
    const expected = stdout.split("\n").map((line) => JSON.parse(line) as string);
    cases.forEach((entries, i) => assert.equal(dirObject(entries).text, expected[i]));
  });
});

describe("the split", () => {
  it("moves no image when others are added, and leaves no part empty (property)", () => {
    const names = fc.uniqueArray(fc.string({ minLength: 1 }), { minLength: 20, maxLength: 60 });
    fc.assert(
      fc.property(names, fc.double({ min: 0.2, max: 0.8, noNaN: true }), (all, share) => {
        const { train, validation } = splitBy(all, (name) => name, share);
        assert.equal(train.length + validation.length, all.length);
        assert.ok(train.length > 0 && validation.length > 0);
        const clear = all.filter((name) => splitPosition(name) < share).length;
        if (clear > 0 && clear < all.length) for (const name of all) assert.equal(train.includes(name), splitPosition(name) < share);
      }),
    );
  });
});

// Reading a version: its own objects, whole, and no others.
import assert from "node:assert/strict";
import { chmod, readdir, rm, stat, truncate, writeFile } from "node:fs/promises";
import path from "node:path";
import { hashOf } from "@airloom/dataset-platform/store/file-facts.ts";
import { dirObject, tryReadDirObject } from "@airloom/dataset-platform/versions/dvc-objects.ts";
import { EmptyVersion, MissingObjects } from "@airloom/dataset-platform/versions/errors.ts";
import { openTestRepository, type TestRepository } from "./open-repository.ts";

describe("reading a version", function () {
  this.timeout(60_000);
  let place: TestRepository;
  let shas: string[];
  const cached = async () =>
    (await readdir(place.at(".dvc/cache/files/md5"), { recursive: true, withFileTypes: true })).filter((entry) => entry.isFile()).length;
  /** The object of a picture in the newest version. */
  const objectOf = async (sha256: string, extension = "jpg") => {
    const { folders } = await place.repository.findVersion("HEAD");
    const folder = folders.find((each) => each.path === `images/${sha256.slice(0, 2)}`)!;
    const entries = (await tryReadDirObject(place.repository.cache, folder.oid))!;
    return place.repository.objectFile(entries.find(({ relpath }) => relpath.endsWith(`${sha256}.${extension}`))!.md5);
  };
  const damage = async (file: string, how: (file: string) => Promise<void>) => {
    // An object of its own, as it lies on a disk that has gone bad; the image file itself stays.
    await rm(file);
    await how(file);
    await chmod(file, 0o444);
  };

  beforeEach(async () => {
    place = await openTestRepository();
    shas = [await place.add({ boxes: [[0.1, 0.1, 0.1, 0.1]] }), await place.add({ boxes: [[0.2, 0.2, 0.1, 0.1]] })];
    await place.commit("one");
  });
  afterEach(async () => place.close());

  it("fetches the objects of that version alone", async () => {
    await place.add();
    await place.commit("two");
    await place.label(shas[0]!, [[0.9, 0.9, 0.1, 0.1]]);
    await place.commit("three");
    await rm(place.at(".dvc/cache/files/md5"), { recursive: true });
    await place.repository.findVersion("HEAD~2");
    // Two images, two label files, two lists.
    assert.equal(await cached(), 6);
    await place.repository.findVersion("HEAD");
    assert.equal(await cached(), 6 + 5);
  });

  it("fetches an object again that has lost its end, known by the registry's size, or by the folder's sum", async () => {
    const file = await objectOf(shas[0]!);
    for (const options of [{ registry: place.registry }, {}]) {
      await damage(file, async (name) => writeFile(name, "truncated"));
      await place.repository.findVersion("HEAD", options);
      assert.equal((await stat(file)).size, 40);
      assert.equal(await hashOf(file, "md5"), path.basename(path.dirname(file)) + path.basename(file));
      assert.equal((await stat(file)).mode & 0o777, 0o444);
    }
    const label = await objectOf(shas[0]!, "txt");
    await damage(label, async (name) => writeFile(name, ""));
    await place.repository.findVersion("HEAD");
    assert.equal((await stat(label)).size, 38);
  });

  it("fetches an object again whose bytes were changed, where it is asked to read them", async () => {
    const file = await objectOf(shas[0]!);
    await damage(file, async (name) => writeFile(name, "x".repeat(40)));
    await place.repository.findVersion("HEAD", { registry: place.registry, verify: true });
    assert.equal(await hashOf(file, "md5"), path.basename(path.dirname(file)) + path.basename(file));
  });

  it("fetches a damaged list of files again", async () => {
    const { folders } = await place.repository.findVersion("HEAD");
    const file = place.repository.objectFile(folders[0]!.oid);
    await damage(file, async (name) => writeFile(name, dirObject([]).text));
    await place.repository.findVersion("HEAD");
    assert.ok(await tryReadDirObject(place.repository.cache, folders[0]!.oid));
  });

  it("refuses an object that is damaged on the remote too, and names it", async () => {
    const file = await objectOf(shas[0]!);
    await rm(file);
    const onRemote = file.replace(place.repository.cache, place.at(".remote"));
    await chmod(onRemote, 0o644);
    await truncate(onRemote, 3);
    await assert.rejects(place.repository.findVersion("HEAD", { registry: place.registry }), (error) => {
      assert.ok(error instanceof MissingObjects);
      assert.match(error.message, new RegExp(`1 object \\(${path.basename(path.dirname(file))}${path.basename(file)}\\).*storage:\\.remote`));
      return true;
    });
    await assert.rejects(stat(file), { code: "ENOENT" });
  });

  it("refuses a commit that holds no dataset", async () => {
    await place.git("rm", "--quiet", "--cached", "images.dvc");
    await place.git("commit", "--quiet", "-m", "none");
    await assert.rejects(place.repository.findVersion("HEAD"), EmptyVersion);
  });
});

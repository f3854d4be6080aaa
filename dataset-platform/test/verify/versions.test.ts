// Planted faults of dataset versions: each is found, by its rule, and what can be mended is.
import assert from "node:assert/strict";
import { chmod, mkdir, readFile, rename, rm, truncate, utimes, writeFile } from "node:fs/promises";
import path from "node:path";
import { sql } from "kysely";
import { imagePath } from "@airloom/dataset-platform/store/layout.ts";
import { problemsOfDataset } from "@airloom/dataset-platform/verify/dataset.ts";
import { removeHalfWritten } from "@airloom/dataset-platform/verify/half-written.ts";
import type { Problem } from "@airloom/dataset-platform/verify/problem.ts";
import { objectPath } from "@airloom/dataset-platform/versions/dvc-objects.ts";
import { tryParsePointers } from "@airloom/dataset-platform/versions/pointers.ts";
import { rebuildFiles } from "@airloom/dataset-platform/versions/rebuild.ts";
import { openTestRepository, type TestRepository } from "../versions/open-repository.ts";

describe("what is wrong with dataset versions", function () {
  this.timeout(60_000);
  let place: TestRepository;
  /** A picture of the first version, and its objects. */
  let picture: { sha256: string; md5: string; label: string; list: string };

  const cache = (oid: string) => objectPath(place.at(".dvc/cache"), oid);
  const remote = (oid: string) => objectPath(place.at(".remote"), oid);

  beforeEach(async () => {
    place = await openTestRepository();
    const sha256 = await place.add();
    await place.add();
    await place.commit("one");
    await place.add();
    await place.label(sha256, []);
    await place.commit("two");
    const { db } = place.registry;
    const { md5 } = await db.selectFrom("images").select("md5").where("sha256", "=", sha256).executeTakeFirstOrThrow();
    const { label_md5: label } = await db
      .selectFrom("annotations")
      .select("label_md5")
      .where("sha256", "=", sha256)
      .orderBy("revision")
      .executeTakeFirstOrThrow();
    const folders = tryParsePointers(await place.git("show", "HEAD~1:images.dvc"))!;
    picture = { sha256, md5, label, list: folders.find((folder) => folder.path.endsWith(sha256.slice(0, 2)))!.oid };
  });
  afterEach(() => place.close());

  async function problems(deep: boolean): Promise<Problem[]> {
    const found: Problem[] = [];
    const { registry, storage, repository } = place;
    for await (const problem of problemsOfDataset({ db: registry.db, storage, incoming: place.at("../incoming"), repository }, { deep })) found.push(problem);
    return found;
  }
  const rulesOf = async (deep = true) => [...new Set((await problems(deep)).map(({ rule }) => rule))];

  /** Other bytes under the same name and size, as a failing disk leaves them. */
  async function spoil(file: string): Promise<void> {
    const data = await readFile(file);
    data[0]! ^= 1;
    // Not through a hard link.
    await writeFile(`${file}.new`, data);
    await rename(`${file}.new`, file);
  }
  async function cut(file: string): Promise<void> {
    await writeFile(`${file}.new`, await readFile(file));
    await truncate(`${file}.new`, 1);
    await rename(`${file}.new`, file);
  }

  it("is nothing in sound ones", async () => {
    assert.deepEqual(await problems(true), []);
    assert.deepEqual(await problems(false), []);
  });

  it("is nothing where the cache lacks what the remote has whole", async () => {
    await rm(place.at(".dvc/cache"), { recursive: true });
    assert.deepEqual(await problems(true), []);
  });

  // What is planted, and whether `data rebuild --deep` makes all of it whole again.
  const faults: Record<string, { plant: () => Promise<unknown>; rule?: Problem["rule"]; sizesTell?: boolean; lasts?: boolean }> = {
    "a picture's object that is spoilt in the cache": { plant: () => spoil(cache(picture.md5)) },
    "a picture's object that is spoilt on the remote": { plant: () => spoil(remote(picture.md5)) },
    "a picture's object that is spoilt in both": { plant: async () => (await spoil(cache(picture.md5)), spoil(remote(picture.md5))) },
    "a picture's object that is cut": { plant: () => cut(cache(picture.md5)), sizesTell: true },
    "a picture's object that is gone from both": { plant: async () => (await rm(cache(picture.md5)), rm(remote(picture.md5))), sizesTell: true },
    "a picture's object that is gone from both, and its file": {
      plant: async () => {
        const file = path.join(place.storage.images, imagePath(picture.sha256, "jpg"));
        for (const each of [cache(picture.md5), remote(picture.md5), file]) await rm(each);
      },
      lasts: true,
    },
    "a label file's object of an old version that is gone from both": { plant: async () => (await rm(cache(picture.label)), rm(remote(picture.label))) },
    "a label file's object that is gone from the remote": { plant: () => rm(remote(picture.label)) },
    "a list of files of an old version that is spoilt in both": { plant: async () => (await spoil(cache(picture.list)), spoil(remote(picture.list))) },
    "a commit that no branch holds": {
      plant: () => place.git("update-ref", "refs/heads/main", "HEAD~1"),
      rule: "commits-are-kept",
      lasts: true,
    },
    "a version whose folder the rows make otherwise": {
      plant: () => sql`delete from version_changes where sha256 = ${picture.sha256} and version_id = (select min(id) from versions)`.execute(place.registry.db),
      rule: "versions-match-rows",
      lasts: true,
    },
    "a file of ingest that nobody has taken up": {
      plant: async () => {
        const folder = place.at("../incoming/.taking/cam/0b9dbf4e-4b0b-4a0e-8b9e-5a2f5f0c8a11");
        await mkdir(folder, { recursive: true });
        await writeFile(path.join(folder, "a.jpg"), "x");
      },
      rule: "nothing-half-taken",
      lasts: true,
    },
  };
  for (const [name, { plant, rule = "objects-are-whole", sizesTell = false, lasts = false }] of Object.entries(faults))
    it(`finds ${name}`, async () => {
      await plant();
      assert.ok((await rulesOf()).includes(rule), `found ${JSON.stringify(await problems(true))}`);
      if (sizesTell) assert.deepEqual(await rulesOf(false), [rule]);
      const { objects } = await rebuildFiles(place.registry.db, place.storage, place.repository, true);
      if (!lasts) assert.deepEqual(await rulesOf(), []);
      if (rule === "objects-are-whole") assert.deepEqual([objects.mended > 0, objects.lost], lasts ? [false, [picture.md5]] : [true, []]);
    });

  it("finds what killed programs had begun to write, once it is a day old", async () => {
    const names = ["images/aa/.0b9dbf4e-4b0b-4a0e-8b9e-5a2f5f0c8a11.tmp", ".dvc/cache/files/md5/aa/.1b9dbf4e-4b0b-4a0e-8b9e-5a2f5f0c8a11.tmp"];
    for (const name of names) {
      await mkdir(path.dirname(place.at(name)), { recursive: true });
      await writeFile(place.at(name), "half");
      await chmod(place.at(name), 0o444);
    }
    assert.deepEqual(await rulesOf(), []);
    const before = new Date(Date.now() - 25 * 3_600_000);
    for (const name of names) await utimes(place.at(name), before, before);
    assert.deepEqual(
      (await problems(false)).map(({ rule, subject }) => [rule, path.relative(place.storage.root, subject)]),
      names.map((name) => ["nothing-half-written", name]),
    );
    assert.equal(await removeHalfWritten(place.storage), 2);
    assert.deepEqual(await rulesOf(), []);
  });
});

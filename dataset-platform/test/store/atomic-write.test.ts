import assert from "node:assert/strict";
import { link, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { atomicWrite, placeFile, tryLink } from "@airloom/dataset-platform/store/atomic-write.ts";
import { execa } from "execa";

const module = fileURLToPath(
  import.meta.resolve?.("@airloom/dataset-platform/store/atomic-write.ts") ?? new URL("../../src/store/atomic-write.ts", import.meta.url),
);

describe("a file that is put in place", () => {
  let folder: string;
  beforeEach(async () => void (folder = await mkdtemp(path.join(tmpdir(), "place-"))));
  afterEach(() => rm(folder, { recursive: true, force: true }));

  it("is there whole, with its mode, and leaves nothing beside it", async () => {
    await atomicWrite(path.join(folder, "a/b/c"), "one", 0o444);
    await atomicWrite(path.join(folder, "a/b/c"), "two", 0o444);
    await placeFile(path.join(folder, "a/b/c"), path.join(folder, "a/copy"), { mode: 0o600 });
    await placeFile(path.join(folder, "a/b/c"), path.join(folder, "a/link"), { mode: 0o444, hardLink: true });
    // Its own link again: rename(2) leaves both names then.
    await placeFile(path.join(folder, "a/b/c"), path.join(folder, "a/link"), { mode: 0o444, hardLink: true });
    assert.deepEqual((await readdir(folder, { recursive: true })).toSorted(), ["a", "a/b", "a/b/c", "a/copy", "a/link"]);
    for (const [name, mode, links] of [
      ["a/b/c", 0o444, 2],
      ["a/copy", 0o600, 1],
      ["a/link", 0o444, 2],
    ] as const) {
      const stats = await stat(path.join(folder, name));
      assert.deepEqual([stats.mode & 0o777, stats.nlink, await readFile(path.join(folder, name), "utf8")], [mode, links, "two"], name);
    }
  });

  it("is not there where its check refuses the bytes", async () => {
    const file = path.join(folder, "a");
    await writeFile(file, "other bytes than their name says");
    const check = async (temporary: string) => {
      assert.equal(await readFile(temporary, "utf8"), "other bytes than their name says");
      throw new Error("not these");
    };
    await assert.rejects(placeFile(file, path.join(folder, "b"), { check }), /not these/);
    assert.deepEqual(await readdir(folder), ["a"]);
  });

  it("gets its own temporary name, whoever writes it at once", async () => {
    const texts = Array.from({ length: 20 }, (_, i) => String(i).repeat(100_000));
    await Promise.all(texts.map((text) => atomicWrite(path.join(folder, "one"), text)));
    assert.ok(texts.includes(await readFile(path.join(folder, "one"), "utf8")));
    assert.deepEqual(await readdir(folder), ["one"]);
  });

  it("takes a second name only where there is none", async () => {
    await writeFile(path.join(folder, "a"), "a");
    await writeFile(path.join(folder, "b"), "b");
    await assert.rejects(tryLink(path.join(folder, "a"), path.join(folder, "b")), { code: "EEXIST" });
    await link(path.join(folder, "a"), path.join(folder, "c"));
  });

  for (const [what, call] of [
    ["written", `atomicWrite(TARGET, "bytes", 0o444)`],
    ["copied", `placeFile(SOURCE, TARGET)`],
    ["linked", `placeFile(SOURCE, TARGET, { hardLink: true })`],
  ] as const)
    it(`${what}: is synced before it has its name, and then its folder and those that were made above it`, async function () {
      if ((await execa("strace", ["-qq", "-o", "/dev/null", "true"], { reject: false })).failed) return this.skip();
      const source = path.join(folder, "source");
      const target = path.join(folder, "new/deeper/target");
      await writeFile(source, "bytes");
      const script = `import { atomicWrite, placeFile } from ${JSON.stringify(module)}; const SOURCE = ${JSON.stringify(source)}, TARGET = ${JSON.stringify(target)}; await ${call};`;
      const traced = path.join(folder, "trace");
      await writeFile(path.join(folder, "run.mts"), script);
      await execa(
        "strace",
        ["-f", "-y", "-qq", "-o", traced, "-e", "trace=fsync,fdatasync,rename", process.execPath, "--import", "tsx", path.join(folder, "run.mts")],
        {
          cwd: path.dirname(module),
        },
      );
      const steps = (await readFile(traced, "utf8")).split("\n").flatMap((line) => {
        const [, name = "", rest = ""] = /(fsync|fdatasync|rename)\((.*)/.exec(line) ?? [];
        return rest.includes(folder) ? [[name, rest] as const] : [];
      });
      const at = (name: string, what: RegExp) => steps.findIndex(([step, rest]) => step === name && what.test(rest));
      const renamed = at("rename", /\.tmp", ".*\/target"/);
      const bytes = at("fdatasync", /\.tmp>/);
      const own = at("fsync", /new\/deeper>/);
      assert.ok(bytes >= 0 && bytes < renamed && renamed < own, steps.join("\n"));
      for (const parent of [new RegExp(`${path.basename(folder)}>`), /new>/]) assert.ok(at("fsync", parent) >= 0, steps.join("\n"));
    }).timeout(60_000);
});

// A remote in an S3 store: DVC's own client against a store of this test's own.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { readdir, rm } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import path from "node:path";
import { execa } from "execa";
import { RemoteFailed } from "@airloom/dataset-platform/versions/errors.ts";
import { dvc, openTestRepository, run, type TestRepository } from "./open-repository.ts";

/** As much of S3 as putting, looking at, listing and getting small objects of one bucket takes. */
function startStore(): { server: Server; objects: Map<string, Buffer>; puts: string[] } {
  const objects = new Map<string, Buffer>();
  const puts: string[] = [];
  const server = createServer((request, response) => {
    void (async () => {
      const url = new URL(request.url!, "http://store");
      const key = decodeURIComponent(url.pathname).replace(/^\/bucket\/?/, "");
      const chunks: Buffer[] = [];
      for await (const chunk of request) chunks.push(chunk as Buffer);
      const object = objects.get(key);
      const answer = (status: number, body: string | Buffer = "", headers: Record<string, string> = {}) => {
        response.writeHead(status, { "content-type": "application/xml", ...headers });
        response.end(request.method === "HEAD" ? undefined : body);
      };
      if (!url.pathname.startsWith("/bucket"))
        return answer(404, "<Error><Code>NoSuchBucket</Code><Message>The specified bucket does not exist</Message></Error>");
      if (request.method === "PUT") {
        objects.set(key, Buffer.concat(chunks));
        puts.push(key);
        return answer(200, "", { etag: '"0"' });
      }
      if (key === "") {
        const prefix = url.searchParams.get("prefix") ?? "";
        const found = [...objects].filter(([name]) => name.startsWith(prefix));
        const contents = found.map(
          ([name, data]) =>
            `<Contents><Key>${name}</Key><Size>${data.length}</Size><LastModified>2026-01-01T00:00:00.000Z</LastModified><ETag>"0"</ETag></Contents>`,
        );
        return answer(
          200,
          `<ListBucketResult><Name>bucket</Name><IsTruncated>false</IsTruncated><KeyCount>${found.length}</KeyCount>${contents.join("")}</ListBucketResult>`,
        );
      }
      if (!object) return answer(404, "<Error><Code>NoSuchKey</Code><Message>none</Message></Error>");
      const [from, to] = /bytes=(\d+)-(\d*)/.exec(request.headers.range ?? "")?.slice(1) ?? [];
      const part = from === undefined ? object : object.subarray(Number(from), to ? Number(to) + 1 : undefined);
      const headers = {
        "content-length": String(part.length),
        etag: '"0"',
        "last-modified": "Thu, 01 Jan 2026 00:00:00 GMT",
        "content-type": "application/octet-stream",
      };
      return answer(from === undefined ? 200 : 206, part, headers);
    })();
  });
  server.listen(0, "127.0.0.1");
  return { server, objects, puts };
}

describe("a remote in an S3 store", function () {
  this.timeout(300_000);
  let place: TestRepository;
  let store: ReturnType<typeof startStore>;
  const before_ = { ...process.env };

  before(async function () {
    // Its plugin is among the requirements; where somebody has DVC alone there is nothing to try.
    const { exitCode } = await execa(path.join(path.dirname(dvc), "python"), ["-c", "import dvc_s3"], { reject: false });
    if (exitCode !== 0) return this.skip();
    store = startStore();
    await once(store.server, "listening");
    const { port } = store.server.address() as AddressInfo;
    Object.assign(process.env, {
      AWS_ACCESS_KEY_ID: "id",
      AWS_SECRET_ACCESS_KEY: "secret",
      AWS_DEFAULT_REGION: "us-east-1",
      AWS_ENDPOINT_URL: `http://127.0.0.1:${port}`,
      NO_PROXY: "127.0.0.1",
      no_proxy: "127.0.0.1",
    });
    place = await openTestRepository({ remoteUrl: "s3://bucket/x" });
  });
  after(async () => {
    process.env = before_;
    await place?.close();
    store?.server.close();
    store?.server.closeAllConnections();
  });

  it("gets what a commit brings and no more, and gives a version back", async () => {
    for (let i = 0; i < 2; i++) await place.add({ boxes: [[0.5, 0.5, 0.1, 0.1 + i / 100]] });
    await place.commit("one");
    assert.equal(store.puts.length, 6);
    for (const [key, data] of store.objects)
      assert.equal(
        createHash("md5").update(data).digest("hex"),
        key
          .replace(/^x\/files\/md5\//, "")
          .replace("/", "")
          .replace(".dir", ""),
      );
    await place.add({ boxes: [] });
    await place.commit("two");
    assert.equal(store.puts.length, 9);
    assert.ok(store.puts.at(-1)!.endsWith(".dir"));
    await rm(place.at(".dvc/cache/files/md5"), { recursive: true });
    // The cache is empty, and the remote has all: nothing is wrong, until something is gone or cut there.
    const problems = async () => {
      const found: string[] = [];
      for await (const { rule } of place.repository.problems(place.registry.db, { deep: true })) found.push(rule);
      return found;
    };
    assert.deepEqual(await problems(), []);
    const [gone, cut] = [...store.objects].filter(([key]) => !key.endsWith(".dir")).slice(0, 2) as [[string, Buffer], [string, Buffer]];
    store.objects.delete(gone[0]);
    store.objects.set(cut[0], cut[1].subarray(1));
    assert.deepEqual(await problems(), ["objects-are-whole", "objects-are-whole"]);
    store.objects.set(...gone).set(...cut);
    await place.repository.findVersion("HEAD~1", { registry: place.registry });
    const fetched = (await readdir(place.at(".dvc/cache/files/md5"), { recursive: true, withFileTypes: true })).filter((entry) => entry.isFile());
    assert.equal(fetched.length, 6);
  });

  it("gives a clone its files by the real dvc pull", async () => {
    const clone = place.at("../clone");
    await place.git("clone", "--quiet", place.at(), clone);
    assert.match(await place.dvc(clone, "pull"), /9 files fetched/);
  });

  it("says that there is no such bucket, in the store's words", async () => {
    await assert.rejects(
      place.open({ remoteUrl: "s3://nosuch/x" }).commit("x", place.registry, run),
      (error) => error instanceof RemoteFailed && /specified bucket does not exist/.test(error.message),
    );
  });
});

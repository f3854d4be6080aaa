// The client against a CVAT that hangs, is overrun, is away, or keeps projects in an organisation.
import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { CvatClient, CvatError } from "@airloom/dataset-platform/cvat/client.ts";

const auth = { user: "admin", password: "secret" };
const noProjects = JSON.stringify({ count: 0, next: null, previous: null, results: [] });
const project = JSON.stringify({ id: 7, name: "p" });

describe("the client of CVAT", function () {
  this.timeout(20_000);
  let server: Server;
  let url: string;
  let asked: { method: string; path: string; organization: string | undefined }[];
  /** Answers the requests in their order; the last one answers all that follow. */
  let answers: ((request: IncomingMessage, response: ServerResponse) => void)[];

  beforeEach(async () => {
    asked = [];
    server = createServer((request, response) => {
      asked.push({ method: request.method!, path: request.url!, organization: request.headers["x-organization"] as string | undefined });
      const answer = answers.length > 1 ? answers.shift()! : answers[0]!;
      answer(request, response);
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  });
  afterEach(() => {
    server.closeAllConnections();
    server.close();
  });
  const say =
    (status: number, body: string, headers: Record<string, string> = {}) =>
    (_: IncomingMessage, response: ServerResponse) =>
      response.writeHead(status, { "Content-Type": "application/vnd.cvat+json", ...headers }).end(body);
  const hang = () => undefined;

  it("has a time-out for each attempt: a second one reaches a CVAT that left the first open", async () => {
    answers = [hang, say(200, noProjects)];
    assert.deepEqual(await new CvatClient({ url, auth }, undefined, 300).findProjects("p"), []);
    assert.equal(asked.length, 2);
  });

  it("gives an upload the time that its bytes need on a slow line", async () => {
    const folder = await mkdtemp(path.join(tmpdir(), "client-"));
    const file = path.join(folder, "a.jpg");
    await writeFile(file, Buffer.alloc(64 * 1024 + 1));
    const late = (request: IncomingMessage, response: ServerResponse) => {
      request.resume();
      setTimeout(() => response.writeHead(200).end("{}"), 600);
    };
    const finish = say(202, JSON.stringify({ rq_id: "r" }));
    answers = [say(202, "{}"), late, finish, say(200, JSON.stringify({ status: "finished" }))];
    // The half second of a call alone would not do; 64 KiB add one.
    await new CvatClient({ url, auth }, undefined, 500).uploadImages(1, [{ name: "a.jpg", file, bytes: 64 * 1024 + 1 }]);
    await rm(folder, { recursive: true });
  });

  for (const [name, headers, leastMs] of [
    ["seconds", () => ({ "Retry-After": "1" }), 950],
    ["a date", () => ({ "Retry-After": new Date(Date.now() + 2000).toUTCString() }), 500],
  ] as const)
    it(`comes again when CVAT says so (${name}), also with what it was told to make`, async () => {
      answers = [(_, response) => void say(429, JSON.stringify({ detail: "Request was throttled." }), headers())(_, response), say(201, project)];
      const started = performance.now();
      assert.equal(await new CvatClient({ url, auth }).createProject("p"), 7);
      assert.ok(performance.now() - started >= leastMs);
      assert.deepEqual(
        asked.map(({ method }) => method),
        ["POST", "POST"],
      );
    });

  it("does not make a second project where it does not know whether the first was made", async () => {
    answers = [say(502, "<html>Bad Gateway</html>")];
    await assert.rejects(
      new CvatClient({ url, auth }).createProject("p"),
      (error: Error) => error instanceof CvatError && error.temporary && /502 .*Bad Gateway/.test(error.message),
    );
    assert.equal(asked.length, 1);
  });

  it("works in an organisation where one is named, as CVAT's header for it says", async () => {
    answers = [say(200, noProjects), say(201, project)];
    const client = new CvatClient({ url, auth, organization: "acme" });
    await client.findProjects("p");
    await client.createProject("p");
    answers = [say(200, noProjects)];
    await new CvatClient({ url, auth }).findProjects("p");
    assert.deepEqual(
      asked.map(({ organization }) => organization),
      ["acme", "acme", undefined],
    );
  });

  it("stops at once when the task is told to", async () => {
    answers = [hang];
    const stop = new AbortController();
    const asking = new CvatClient({ url, auth }, stop.signal).findProjects("p");
    setTimeout(() => stop.abort(new Error("told to stop")), 50);
    await assert.rejects(asking, /told to stop/);
  });
});

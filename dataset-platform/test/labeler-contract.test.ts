import assert from "node:assert/strict";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import type { AddressInfo, Server } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { execa } from "execa";
import { pino } from "pino";
import sharp from "sharp";
import { labelerApp } from "../src/labeler/app.ts";
import { tokenOf } from "../src/labeler/auth.ts";
import { LabelerState } from "../src/labeler/state.ts";
import { waitFor } from "../../test/patience.ts";

const contract = fileURLToPath(new URL("contract/", import.meta.url));
const credentials = { user: "admin", password: "ADMIN_PASSWORD" };

/** Starts a labeler on a free port with an empty folder. */
async function startLabeler() {
  const folder = await mkdtemp(path.join(tmpdir(), "labeler-"));
  const app = labelerApp(await LabelerState.open(folder), credentials, pino({ level: "silent" }));
  const server = await new Promise<Server>((resolve) => {
    const listening: Server = app.listen(0, "127.0.0.1", () => resolve(listening));
  });
  const port = (server.address() as AddressInfo).port;
  const stop = async () => {
    server.close();
    await rm(folder, { recursive: true, force: true });
  };
  return { url: `http://127.0.0.1:${port}`, stop };
}

interface Exchange {
  readonly file: string;
  readonly method: string;
  readonly target: string;
  readonly headers: Headers;
  readonly body: string;
  readonly status: number;
  readonly answerType: string;
  readonly answer: string;
}

function parseExchange(file: string, text: string): Exchange {
  const [request = "", response = ""] = text.replaceAll("\r", "").split("### RESPONSE\n");
  const cut = (part: string) => {
    const end = part.indexOf("\n\n");
    return { head: end < 0 ? part : part.slice(0, end), body: end < 0 ? "" : part.slice(end + 2).trim() };
  };
  const [asked, answered] = [cut(request), cut(response)];
  const headersOf = (head: string) =>
    new Headers(
      head
        .split("\n")
        .slice(1)
        .filter((line) => line.includes(":"))
        .map((line): [string, string] => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 1).trim()]),
    );
  const [method = "", target = ""] = request.split(" ");
  return {
    file,
    method,
    target,
    headers: headersOf(asked.head),
    body: asked.body,
    status: Number(response.split(" ")[1]),
    answerType: headersOf(answered.head).get("content-type")?.split(";")[0] ?? "",
    answer: answered.body,
  };
}

/** What a value looks like, without what it is: keys and kinds. Null may stand for anything. */
function differences(recorded: unknown, ours: unknown, place = "answer"): string[] {
  if (recorded === null || ours === null) return [];
  if (Array.isArray(recorded)) {
    if (!Array.isArray(ours)) return [`${place} is no list`];
    return recorded.length > 0 && ours.length > 0 ? differences(recorded[0], ours[0], `${place}[0]`) : [];
  }
  if (typeof recorded !== typeof ours) return [`${place} is ${typeof ours}, CVAT gives ${typeof recorded}`];
  if (typeof recorded !== "object") return [];
  const [a, b] = [recorded as Record<string, unknown>, ours as Record<string, unknown>];
  const missing = Object.keys(a)
    .filter((key) => !(key in b))
    .map((key) => `${place}.${key} is missing`);
  return [
    ...missing,
    ...Object.keys(a)
      .filter((key) => key in b)
      .flatMap((key) => differences(a[key], b[key], `${place}.${key}`)),
  ];
}

function tryParse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/** The recorded pictures are not kept, only their sizes. */
async function pictureFor(name: string): Promise<Blob> {
  if (name.startsWith("broken")) return new Blob(["not a picture"]);
  const [width, height] = name.includes("000") ? [64, 48] : name.includes("001") ? [80, 60] : [100, 50];
  const image = sharp({ create: { width, height, channels: 3, background: "#808080" } });
  return new Blob([new Uint8Array(await (name.endsWith(".png") ? image.png() : image.jpeg()).toBuffer())]);
}

async function multipart(body: string): Promise<FormData> {
  const form = new FormData();
  for (const part of body.matchAll(/name="([^"]+)"(?:; filename="([^"]+)")?[^\n]*\n(?:Content-Type[^\n]*\n)?\n([^\n]*)/g)) {
    const [, name = "", filename, value = ""] = part;
    if (filename) form.append(name, await pictureFor(filename), filename);
    else form.append(name, value);
  }
  return form;
}

describe("the labeler against what a real CVAT answered", () => {
  let labeler: Awaited<ReturnType<typeof startLabeler>>;
  before(async () => (labeler = await startLabeler()));
  after(() => labeler.stop());

  const send = async (exchange: Exchange): Promise<Response> => {
    const headers = new Headers();
    for (const name of ["accept", "content-type", "upload-start", "upload-multiple", "upload-finish"]) {
      const value = exchange.headers.get(name);
      if (value !== null) headers.set(name, value);
    }
    const authorization = exchange.headers.get("authorization");
    const basic = Buffer.from(`${credentials.user}:${credentials.password}`).toString("base64");
    if (authorization)
      headers.set("authorization", authorization.startsWith("Basic") ? `Basic ${basic}` : authorization.replace("ADMIN_TOKEN", tokenOf(credentials)));
    const isForm = headers.get("content-type")?.startsWith("multipart/");
    // In the recording two refused projects had used up label ids; here the third label is number 3.
    const text = exchange.body.replaceAll('"label_id": 5', '"label_id": 3');
    if (isForm) headers.delete("content-type");
    const body = exchange.body === "" ? {} : { body: isForm ? await multipart(exchange.body) : text };
    return fetch(`${labeler.url}${exchange.target}`, { method: exchange.method, headers, ...body });
  };

  it("gives the same status, media type and fields, call by call", async () => {
    const files = (await readdir(path.join(contract, "http"))).toSorted();
    assert.ok(files.length > 60);
    const wrong: string[] = [];
    for (const file of files) {
      const exchange = parseExchange(file, await readFile(path.join(contract, "http", file), "utf8"));
      let response = await send(exchange);
      let text = await response.text();
      const final = /"status":"(finished|failed)"/.exec(exchange.answer)?.[1];
      if (final)
        await waitFor(
          async () => {
            if (text.includes(`"status":"${final}"`)) return true;
            response = await send(exchange);
            text = await response.text();
            return false;
          },
          { what: () => `${file} to be ${final}: ${text.slice(0, 200)}` },
        );
      if (response.status !== exchange.status) wrong.push(`${file}: status ${response.status}, CVAT ${exchange.status}: ${text.slice(0, 200)}`);
      const type = response.headers.get("content-type")?.split(";")[0] ?? "";
      if (exchange.answer !== "" && type !== exchange.answerType) wrong.push(`${file}: ${type}, CVAT ${exchange.answerType}`);
      if (exchange.answerType.endsWith("+json") && exchange.answer !== "")
        wrong.push(...differences(JSON.parse(exchange.answer), tryParse(text)).map((what) => `${file}: ${what}`));
    }
    assert.deepEqual(wrong, []);
  });
});

describe("the labeler's exports", () => {
  let labeler: Awaited<ReturnType<typeof startLabeler>>;
  before(async () => (labeler = await startLabeler()));
  after(() => labeler.stop());

  const call = async (method: string, target: string, body?: unknown, headers: Record<string, string> = {}) => {
    const init = {
      method,
      headers: {
        Authorization: `Token ${tokenOf(credentials)}`,
        ...(body && !(body instanceof FormData) ? { "Content-Type": "application/json" } : {}),
        ...headers,
      },
    };
    const response = await fetch(`${labeler.url}${target}`, body ? { ...init, body: body instanceof FormData ? body : JSON.stringify(body) } : init);
    assert.ok(response.ok, `${method} ${target}: ${response.status} ${response.ok ? "" : await response.text()}`);
    return response;
  };
  const finished = async (id: string) => {
    const isFinished = async () => {
      const { status, message } = (await (await call("GET", `/api/requests/${encodeURIComponent(id)}`)).json()) as { status: string; message: string };
      if (status === "failed") throw new Error(message);
      return status === "finished";
    };
    await waitFor(isFinished, { what: `the request ${id}` });
  };

  it("hold the same text as CVAT's for the recorded annotations", async () => {
    await call("POST", "/api/projects", { name: "acceptance", labels: [{ name: "car" }, { name: "person" }, { name: "dog" }] });
    await call("POST", "/api/tasks", { name: "t1", project_id: 1, subset: "Train" });
    const form = new FormData();
    form.set("image_quality", "70");
    for (const [i, name] of ["frame_000.png", "frame_001.jpg", "frame_002.jpg"].entries()) form.set(`client_files[${i}]`, await pictureFor(name), name);
    await call("POST", "/api/tasks/1/data/", form);
    await finished("action=create&target=task&target_id=1");
    const rectangle = (frame: number, label_id: number, points: number[]) => ({ type: "rectangle", frame, label_id, points });
    const shapes = [
      rectangle(0, 1, [10, 10, 30, 25]),
      rectangle(1, 2, [5.5, 6.25, 40, 50]),
      { type: "polygon", frame: 1, label_id: 3, points: [1, 1, 20, 1, 20, 20] },
      rectangle(2, 1, [50, 20, 90, 45]),
    ];
    await call("PUT", "/api/tasks/1/annotations", { shapes, tags: [], tracks: [] });
    for (const [folder, format] of [
      ["yolo11", "YOLO 1.1"],
      ["ulyolo", "Ultralytics YOLO Detection 1.0"],
      ["coco", "COCO 1.0"],
    ] as const) {
      const { rq_id } = (await (await call("POST", `/api/tasks/1/dataset/export?format=${encodeURIComponent(format)}&save_images=false`)).json()) as {
        rq_id: string;
      };
      await finished(rq_id);
      const zip = Buffer.from(await (await call("GET", `/api/tasks/1/dataset/download?rq_id=${encodeURIComponent(rq_id)}`)).arrayBuffer());
      await sameText(zip, path.join(contract, "exports", folder));
    }
  });
});

async function sameText(zip: Buffer, expected: string): Promise<void> {
  const folder = await mkdtemp(path.join(tmpdir(), "export-"));
  try {
    await execa("python3", ["-c", "import sys, zipfile, io; zipfile.ZipFile(io.BytesIO(sys.stdin.buffer.read())).extractall(sys.argv[1])", folder], {
      input: zip,
    });
    const list = async (root: string) =>
      (await readdir(root, { recursive: true, withFileTypes: true }))
        .filter((entry) => entry.isFile())
        .map((entry) => path.relative(root, path.join(entry.parentPath, entry.name)))
        .toSorted();
    assert.deepEqual(await list(folder), await list(expected));
    for (const name of await list(expected)) {
      const [ours, theirs] = [await readFile(path.join(folder, name), "utf8"), await readFile(path.join(expected, name), "utf8")];
      if (name.endsWith(".json")) sameCoco(JSON.parse(ours), JSON.parse(theirs));
      else assert.equal(ours.trimEnd(), theirs.trimEnd(), name);
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

interface Coco {
  readonly annotations: { attributes: Record<string, unknown>; segmentation: unknown[]; area: number }[];
}

/** Two things differ on purpose: custom attributes are not kept, and a polygon's area is its own, not that of its pixels. */
function sameCoco(ours: Coco, theirs: Coco): void {
  for (const { attributes } of theirs.annotations) delete attributes["occl"];
  for (const annotation of [...ours.annotations, ...theirs.annotations]) if (annotation.segmentation.length > 0) annotation.area = 0;
  assert.deepEqual(ours, theirs);
}

describe("CVAT's own Python SDK", () => {
  it("passes its check against the labeler", async () => {
    const labeler = await startLabeler();
    try {
      const python = fileURLToPath(new URL("../../.venv-test/bin/python", import.meta.url));
      const { stdout } = await execa(python, [path.join(contract, "sdk_check.py"), labeler.url, credentials.user, credentials.password]);
      assert.match(stdout, /sdk check passed/);
    } finally {
      await labeler.stop();
    }
  }).timeout(60_000);
});

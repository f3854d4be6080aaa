import assert from "node:assert/strict";
import { connect } from "node:net";
import { Ajv2020 } from "ajv/dist/2020.js";
import sharp from "sharp";
import { openApiDocument } from "../src/http/openapi.ts";
import { parameters } from "../src/http/options.ts";
import { waitFor } from "../../test/patience.ts";
import { manifestOf, photo, postPictures, type RunningService, someOnnx, startService, workersOf, writeModel } from "./running-service.ts";

interface Answer {
  readonly error: { readonly code: string; readonly message: string };
  readonly images: readonly {
    readonly shape: number[];
    readonly results: readonly { readonly class: number; readonly name: string; readonly confidence: number }[];
  }[];
  readonly metadata: { readonly model: { readonly version: string } };
}

/** Holds an answer of /predict against the OpenAPI document. */
function fits(status: number, body: unknown): void {
  const document = openApiDocument("0");
  const responses = document.paths["/predict"].post.responses as unknown as Record<number, { content: { "application/json": { schema: object } } }>;
  const answer = responses[status];
  assert.ok(answer, `status ${status} does not stand in the OpenAPI document`);
  const validate = new Ajv2020({ strict: false }).compile({ ...answer.content["application/json"].schema, components: document.components });
  assert.ok(validate(body), JSON.stringify(validate.errors));
}

describe("the inference service", () => {
  let service: RunningService;
  before(async () => {
    service = await startService();
  });
  after(() => service.stop());

  const predict = async (pictures: readonly Uint8Array[], how: Parameters<typeof postPictures>[2] = {}) => {
    const response = await postPictures(service.url, pictures, how);
    const body = (await response.json()) as Answer;
    fits(response.status, body);
    return { status: response.status, headers: response.headers, body };
  };

  it("answers 503 without a model, and says how to get one", async () => {
    const { status, body, headers } = await predict([await photo()]);
    assert.equal(status, 503);
    assert.match(body.error.message, /training_pipeline/);
    assert.ok(headers.get("retry-after"));
    assert.equal((await fetch(`${service.url}/readyz`)).status, 503);
    assert.equal((await fetch(`${service.url}/healthz`)).status, 200);
  });

  it("takes a model that appears, and answers as its OpenAPI document says", async () => {
    const onnx = someOnnx(1);
    await writeModel(service.folder, onnx, manifestOf(onnx));
    await service.host.refresh();
    assert.equal(service.host.status.problem, undefined);
    const { status, body, headers } = await predict([await photo()], { query: "?conf=0" });
    assert.equal(status, 200);
    assert.deepEqual(body.images[0]!.shape, [90, 120]);
    assert.equal(body.metadata.model.version, "1");
    assert.ok(body.images[0]!.results.length > 0);
    assert.match(headers.get("x-request-id") ?? "", /^[0-9a-f-]{36}$/);
    assert.equal((await fetch(`${service.url}/readyz`)).status, 200);
  }).timeout(30_000);

  it("gives boxes in the picture as a person sees it: EXIF rotation swaps the sides", async () => {
    const rotated = await sharp(await photo())
      .withMetadata({ orientation: 6 })
      .jpeg()
      .toBuffer();
    const { body } = await predict([rotated]);
    assert.deepEqual(body.images[0]!.shape, [120, 90]);
  });

  it("answers several pictures in their order, whatever their sizes", async () => {
    const sizes = [
      [120, 90],
      [33, 200],
      [64, 64],
      [120, 90],
    ] as const;
    const { body } = await predict(await Promise.all(sizes.map(([width, height]) => photo("png", width, height))));
    assert.deepEqual(
      body.images.map(({ shape }) => shape),
      sizes.map(([width, height]) => [height, width]),
    );
  });

  it("takes its parameters from the query or from the form, the form's first", async () => {
    const picture = await photo();
    assert.equal((await predict([picture], { query: "?conf=0&max_det=5" })).body.images[0]!.results.length, 5);
    assert.equal((await predict([picture], { query: "?conf=0&max_det=5", fields: { max_det: "3" } })).body.images[0]!.results.length, 3);
    const classes = async (query: string) =>
      [...new Set((await predict([picture], { query: `?conf=0&${query}` })).body.images[0]!.results.map(({ name }) => name))].toSorted();
    assert.deepEqual(await classes("classes=square"), ["square"]);
    assert.deepEqual(await classes("classes=0,triangle"), ["circle", "triangle"]);
    assert.deepEqual(await classes("classes=0&classes=1"), ["circle", "square"]);
    // At half the side there are a quarter of the places where an object can be.
    const places = async (imgsz: number) => (await predict([picture], { query: `?conf=0&iou=1&max_det=1000&imgsz=${imgsz}` })).body.images[0]!.results.length;
    assert.deepEqual([await places(64), await places(32)], [3 * 84, 3 * 21]);
  });

  it("answers in Roboflow's shape", async () => {
    const ask = async (pictures: Uint8Array[], query = "") => {
      const response = await postPictures(service.url, pictures, { query: `?conf=0&max_det=2&format=roboflow${query}` });
      const body: unknown = await response.json();
      fits(response.status, body);
      return body as { image: object; predictions: { x: number; y: number; width: number; height: number; class_id: number }[] };
    };
    const picture = await photo();
    const one = await ask([picture]);
    assert.deepEqual(one.image, { width: 120, height: 90 });
    const { box } = (await predict([picture], { query: "?conf=0&max_det=2" })).body.images[0]!.results[0] as unknown as { box: Record<string, number> };
    const { x, width } = one.predictions[0]!;
    assert.ok(Math.abs(x - width / 2 - box["x1"]!) < 0.02 && Math.abs(x + width / 2 - box["x2"]!) < 0.02);
    assert.equal(((await ask([picture, picture])) as unknown as unknown[]).length, 2);
  });

  it("gives the picture with its boxes to those who ask for JPEG", async () => {
    const response = await postPictures(service.url, [await photo("png")], { query: "?conf=0&max_det=3", headers: { Accept: "image/jpeg" } });
    assert.equal(response.headers.get("content-type"), "image/jpeg");
    const drawn = await sharp(Buffer.from(await response.arrayBuffer())).stats();
    // The picture is of one colour; boxes and names are not.
    assert.ok(drawn.channels.some(({ stdev }) => stdev > 5));
    const two = await postPictures(service.url, [await photo(), await photo()], { headers: { Accept: "image/jpeg" } });
    assert.equal(two.status, 400);
    assert.equal((await postPictures(service.url, [await photo()], { headers: { Accept: "text/html" } })).status, 406);
  });

  it("says what is wrong with a bad request", async () => {
    const whole = await photo();
    const bomb = await sharp({ create: { width: 9000, height: 9000, channels: 3, background: "red" } })
      .png()
      .toBuffer();
    const frames = await sharp(Buffer.from(Array.from({ length: 20 * 40 * 3 }, (_, i) => (i * 7 + Math.floor(i / 1200) * 90) % 256)), {
      raw: { width: 20, height: 40, channels: 3, pageHeight: 20 },
    })
      .webp({ loop: 0, delay: [100, 100] })
      .toBuffer();
    const cases: [string, number, RegExp, () => ReturnType<typeof predict>][] = [
      ["no_file", 400, /field named "file"/, () => predict([])],
      ["unexpected_file", 400, /"image"/, () => predict([whole], { field: "image" })],
      ["empty_file", 400, /empty/, () => predict([Buffer.alloc(0)])],
      ["bad_image", 415, /cannot be decoded/, () => predict([Buffer.from("hello")])],
      ["bad_image", 415, /cannot be decoded/, () => predict([whole.subarray(0, whole.length / 2)])],
      ["bad_image", 415, /the file is gif; send JPEG, PNG or WebP/, () => photo("gif").then((data) => predict([data]))],
      ["bad_image", 415, /the file is tiff; send JPEG, PNG or WebP/, () => photo("tiff").then((data) => predict([data]))],
      [
        "bad_image",
        415,
        /the file is svg; send JPEG, PNG or WebP/,
        () => predict([Buffer.from('<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>')]),
      ],
      ["bad_image", 415, /animation/, () => predict([frames])],
      ["bad_image", 415, /pixel limit/, () => predict([bomb])],
      ["bad_image", 415, /cannot be decoded/, () => predict([whole, Buffer.from("hello"), whole])],
      ["too_large", 413, /32 MiB/, () => predict([Buffer.alloc(33 * 1024 * 1024)])],
      ["too_many", 413, /16 files/, () => predict(Array.from({ length: 17 }, () => whole))],
      ["bad_query", 422, /conf has to be a number from 0 to 1/, () => predict([whole], { query: "?conf=2" })],
      ["bad_query", 422, /max_det has to be a whole number/, () => predict([whole], { query: "?max_det=x" })],
      ["bad_query", 422, /max_det has to be a whole number/, () => predict([whole], { query: "?max_det=1.5" })],
      ["bad_query", 422, /conf has to be/, () => predict([whole], { query: "?conf=" })],
      ["bad_query", 422, /there is no confidence: known are conf, iou/, () => predict([whole], { query: "?confidence=0.5" })],
      ["bad_query", 422, /"dog"; it knows circle, square, triangle/, () => predict([whole], { query: "?classes=dog" })],
      ["bad_query", 422, /format/, () => predict([whole], { fields: { format: "xml" } })],
      ["no_such_model", 404, /"n@9" here; there are: none/, () => predict([whole], { query: "?model=n@9" })],
    ];
    for (const [code, status, message, run] of cases) {
      const { status: actual, body } = await run();
      assert.deepEqual([actual, body.error?.code], [status, code], `${message}: ${JSON.stringify(body)}`);
      assert.match(body.error.message, message);
    }
    const broken = await fetch(`${service.url}/predict`, {
      method: "POST",
      headers: { "Content-Type": "multipart/form-data; boundary=x" },
      body: "--x\r\nContent-Disposition: form-data; na",
    });
    assert.equal(broken.status, 400);
    const json = await fetch(`${service.url}/predict`, { method: "POST", headers: { "Content-Type": "application/json" }, body: "{}" });
    assert.equal(json.status, 400);
    const nowhere = await fetch(`${service.url}/nowhere`);
    assert.equal(nowhere.status, 404);
    assert.match(((await nowhere.json()) as Answer).error.message, /there is no GET \/nowhere/);
  }).timeout(30_000);

  it("takes every kind of JPEG, PNG and WebP: grey, CMYK, 16 bits, transparent, another colour space", async () => {
    const base = () => sharp({ create: { width: 40, height: 30, channels: 3, background: "#3a7" } });
    const kinds = {
      grey: base().greyscale().jpeg(),
      cmyk: base().toColourspace("cmyk").jpeg(),
      "16 bits": base().toColourspace("rgb16").png(),
      "grey with alpha": base().greyscale().ensureAlpha(0.5).png(),
      palette: base().png({ palette: true }),
      transparent: base().ensureAlpha(0.5).webp(),
      "display p3": base().withIccProfile("p3").jpeg(),
      progressive: base().jpeg({ progressive: true }),
      lossless: base().webp({ lossless: true }),
    };
    for (const [kind, image] of Object.entries(kinds)) {
      const { status, body } = await predict([await image.toBuffer()]);
      assert.deepEqual([status, body.images?.[0]?.shape], [200, [30, 40]], `${kind}: ${JSON.stringify(body)}`);
    }
  });

  it("has a route for each path of its OpenAPI document, and the document's ranges are those that it holds to", async () => {
    const document = openApiDocument("0");
    for (const [path, operations] of Object.entries(document.paths))
      for (const method of Object.keys(operations)) {
        const filled = path.replace("{model}", "m").replace("{version}", "1");
        const response = await fetch(`${service.url}${filled}`, { method: method.toUpperCase() });
        const body = await response.text();
        assert.doesNotMatch(body, /there is no (GET|POST) \//, `${method} ${path}`);
        assert.ok(String(response.status) in (operations as Record<string, { responses: object }>)[method]!.responses, `${method} ${path}: ${response.status}`);
      }
    const picture = await photo();
    for (const [name, { schema }] of Object.entries(parameters)) {
      if (!("minimum" in schema)) continue;
      const step = schema.type === "integer" ? 1 : 0.001;
      for (const value of [schema.minimum, schema.maximum])
        assert.equal((await predict([picture], { query: `?${name}=${value}` })).status, 200, `${name}=${value}`);
      for (const value of [schema.minimum - step, schema.maximum + step])
        assert.equal((await predict([picture], { query: `?${name}=${value}` })).status, 422, `${name}=${value}`);
    }
  }).timeout(60_000);

  it("shows Swagger UI and its page from its own files", async () => {
    for (const page of ["/docs", "/"]) {
      const text = await (await fetch(`${service.url}${page}`)).text();
      assert.match(text, page === "/" ? /<h1>Airloom inference/ : /swagger-ui-bundle\.js/);
      assert.doesNotMatch(text, /https?:\/\//);
    }
    for (const file of ["docs/swagger-ui.css", "docs/swagger-ui-bundle.js", "docs/start.js", "main.js", "draw.js", "style.css", "icon.svg"])
      assert.equal((await fetch(`${service.url}/${file}`)).status, 200, file);
    assert.match((await fetch(service.url)).headers.get("content-security-policy") ?? "", /default-src 'self'/);
    assert.equal(((await (await fetch(`${service.url}/openapi.json`)).json()) as { openapi: string }).openapi, "3.1.0");
  });

  it("tells Prometheus of requests, stages, refusals and the model", async () => {
    await predict([await photo()], { query: "?conf=7" });
    const text = await (await fetch(`${service.url}/metrics`)).text();
    assert.match(text, /airloom_inference_request_seconds_count\{route="\/predict",method="POST",status="200"\} \d+/);
    assert.match(text, /airloom_inference_stage_seconds_count\{stage="inference"\} \d+/);
    assert.match(text, /airloom_inference_refused_total\{code="bad_query"\} \d+/);
    assert.match(text, /airloom_inference_model_info\{name="m",version="1",sha256="[0-9a-f]{64}"\} 1/);
    assert.match(text, /airloom_inference_waiting 0/);
    assert.match(text, /airloom_inference_ready 1/);
    assert.match(text, /airloom_inference_batch_size_bucket/);
  });

  it("keeps a well-formed request id, and replaces others", async () => {
    const id = async (given: string) => (await fetch(`${service.url}/healthz`, { headers: { "X-Request-Id": given } })).headers.get("x-request-id");
    assert.equal(await id("abc-1.2"), "abc-1.2");
    assert.notEqual(await id('x" {'), 'x" {');
  });

  it("answers what follows on a connection whose body it did not want", async () => {
    const socket = connect(Number(new URL(service.url).port), "127.0.0.1");
    const got: string[] = [];
    socket.on("data", (data) => got.push(data.toString()));
    const body = "x".repeat(300_000);
    socket.write(`POST /predict?conf=9 HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=b\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
    socket.write("GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    await new Promise((resolve) => socket.once("close", resolve));
    assert.match(got.join(""), /HTTP\/1\.1 422[\s\S]*HTTP\/1\.1 200/);
  });
});

describe("an inference service that has too much to do", () => {
  let service: RunningService;
  before(async () => {
    service = await startService({}, { maxWaiting: 4 });
    const onnx = someOnnx(1);
    await writeModel(service.folder, onnx, manifestOf(onnx));
    await service.host.refresh();
  });
  after(() => service.stop());

  it("refuses what is too much, says when to come back, and answers the rest", async () => {
    const picture = await photo("jpeg", 1500, 1500);
    // A worker that stands still has two, and four wait: the other 54 are too much, however fast this machine is.
    const [worker] = workersOf(process.pid);
    process.kill(worker!, "SIGSTOP");
    const busy: Response[] = [];
    const served: Response[] = [];
    const sent = Array.from({ length: 60 }, () => postPictures(service.url, [picture]).then((answer) => (answer.status === 429 ? busy : served).push(answer)));
    await waitFor(() => busy.length >= 54, { what: "54 refusals" });
    process.kill(worker!, "SIGCONT");
    await Promise.all(sent);
    assert.deepEqual([busy.length, served.map(({ status }) => status)], [54, [200, 200, 200, 200, 200, 200]]);
    assert.equal(busy[0]!.headers.get("retry-after"), "1");
    assert.match(((await busy[0]!.json()) as Answer).error.message, /try again in a second/);
    assert.equal((await postPictures(service.url, [picture])).status, 200);
  }).timeout(30_000);
});

describe("an inference service with a key", () => {
  let service: RunningService;
  before(async () => {
    service = await startService({ apiKey: "0123456789abcdef" });
  });
  after(() => service.stop());

  it("lets only those through who have it; probes and the page need none", async () => {
    const status = async (path: string, headers = {}, method = "GET") => (await fetch(`${service.url}${path}`, { method, headers })).status;
    for (const [path, method] of [
      ["/predict", "POST"],
      ["/metrics", "GET"],
      ["/labels", "GET"],
      ["/v2/models/m", "GET"],
      ["/v2/models/m/infer", "POST"],
    ] as const) {
      assert.equal(await status(path, {}, method), 401, path);
      assert.equal(await status(path, { "X-API-Key": "0123456789abcdeX" }, method), 401, path);
      assert.notEqual(await status(path, { "X-API-Key": "0123456789abcdef" }, method), 401, path);
      assert.notEqual(await status(path, { Authorization: "Bearer 0123456789abcdef" }, method), 401, path);
    }
    for (const path of ["/", "/healthz", "/v2/health/live", "/docs", "/openapi.json"]) assert.equal(await status(path), 200, path);
  });
});

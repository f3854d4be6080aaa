import { seededRandom } from "@airloom/yolo/augment/random.ts";
import sharp from "sharp";
import { side } from "../running-service.ts";

/** A request that somebody might send. */
export interface FuzzCase {
  readonly kind: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
}

const boundary = "----fuzz";

/** Of the seeds the first so many are pictures that are taken. */
const taken = 15;

/** Pictures of every kind that is taken, and of kinds that are not. */
export async function seedPictures(): Promise<Buffer[]> {
  const base = (width = 48, height = 36) => sharp({ create: { width, height, channels: 3, background: "#3a7" } });
  const drawn = base().composite([{ input: Buffer.from('<svg width="48" height="36"><circle cx="20" cy="18" r="12" fill="red"/></svg>') }]);
  // Large enough to be divided while it is decoded.
  const large = sharp(await drawn.clone().png().toBuffer()).resize(192, 144);
  const animation = sharp(Buffer.from(Array.from({ length: 20 * 40 * 3 }, (_, i) => (i * 7 + Math.floor(i / 1200) * 90) % 256)), {
    raw: { width: 20, height: 40, channels: 3, pageHeight: 20 },
  });
  const drawnOnes = await Promise.all([
    drawn.clone().jpeg().toBuffer(),
    drawn.clone().jpeg({ progressive: true, quality: 60 }).toBuffer(),
    drawn.clone().jpeg({ chromaSubsampling: "4:4:4" }).withMetadata({ orientation: 6 }).toBuffer(),
    drawn.clone().toColourspace("cmyk").jpeg().toBuffer(),
    drawn.clone().greyscale().jpeg().toBuffer(),
    drawn.clone().png().toBuffer(),
    drawn.clone().png({ palette: true }).toBuffer(),
    drawn.clone().toColourspace("rgb16").png().toBuffer(),
    drawn.clone().ensureAlpha(0.4).png().toBuffer(),
    drawn.clone().webp().toBuffer(),
    drawn.clone().webp({ lossless: true }).toBuffer(),
    large.clone().jpeg().toBuffer(),
    large.clone().jpeg({ progressive: true }).withMetadata({ orientation: 8 }).toBuffer(),
    large.clone().toColourspace("cmyk").jpeg().toBuffer(),
    large.clone().greyscale().jpeg().toBuffer(),
    animation.webp({ loop: 0, delay: [100, 100] }).toBuffer(),
    drawn.clone().gif().toBuffer(),
    drawn.clone().tiff().toBuffer(),
    drawn.clone().avif().toBuffer(),
  ]);
  return [
    ...drawnOnes,
    Buffer.from('<svg xmlns="http://www.w3.org/2000/svg" width="99999" height="99999"><image href="file:///etc/passwd"/></svg>'),
    Buffer.from("%PDF-1.4\n1 0 obj"),
    Buffer.from("hello"),
  ];
}

/** The bytes of a form with pictures. */
function form(pictures: readonly Buffer[], fields: Readonly<Record<string, string>> = {}): Buffer {
  const parts = [
    ...Object.entries(fields).map(([name, value]) => Buffer.from(`--${boundary}\r\nContent-Disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`)),
    ...pictures.flatMap((picture, i) => [
      Buffer.from(`--${boundary}\r\nContent-Disposition: form-data; name="file"; filename="${i}.jpg"\r\nContent-Type: image/jpeg\r\n\r\n`),
      picture,
      Buffer.from("\r\n"),
    ]),
  ];
  return Buffer.concat([...parts, Buffer.from(`--${boundary}--\r\n`)]);
}

const values = [
  "",
  "0",
  "1",
  "-1",
  "0.5",
  "1e999",
  "NaN",
  "Infinity",
  "0x10",
  " 1",
  "1,2",
  "null",
  "[]",
  "%00",
  "٣",
  "a".repeat(3000),
  "../..",
  "'\"<>",
  "640",
  "31",
  "1281",
  "0.25.1",
  "😀",
];
const names = ["conf", "iou", "max_det", "imgsz", "classes", "model", "format", "size", "conf[]", "__proto__", "constructor", "x"];

/** Gives case after case; the same seed gives the same ones. */
export function* fuzzCases(pictures: readonly Buffer[], seed: number): Generator<FuzzCase> {
  const random = seededRandom(seed);
  const below = (n: number) => Math.floor(random() * n);
  const pick = <T>(list: readonly T[]): T => list[below(list.length)]!;
  const headers = { "content-type": `multipart/form-data; boundary=${boundary}` };
  const text = () => pick([pick(values), String.fromCharCode(...Array.from({ length: below(12) }, () => 32 + below(95)))]);
  const query = () =>
    random() < 0.5 ? "" : `?${pick(["conf=0", "max_det=1", "imgsz=32", "format=roboflow", `${pick(names)}=${encodeURIComponent(text())}`])}`;

  /** Changes bytes here and there, cuts, doubles, or writes a number that a header might hold. */
  const mutate = (given: Buffer): Buffer => {
    const data = Buffer.from(given);
    for (let n = 1 + below(6); n > 0 && data.length > 0; n--)
      switch (below(6)) {
        case 0:
          data[below(data.length)] = below(256);
          break;
        case 1:
          data[below(data.length)]! ^= 1 << below(8);
          break;
        case 2:
          // Headers stand at the beginning.
          data[below(Math.min(64, data.length))] = pick([0, 1, 0x7f, 0x80, 0xff]);
          break;
        case 3:
          if (data.length > 4) data.writeUInt32BE(pick([0, 1, 0x7fffffff, 0xffffffff, 65_535]), below(data.length - 4));
          break;
        case 4:
          return data.subarray(0, below(data.length));
        default: {
          const at = below(data.length);
          return Buffer.concat([data.subarray(0, at), data.subarray(below(data.length)), data.subarray(at)]);
        }
      }
    return data;
  };

  const tensorBody = (): { body: Buffer; length?: number } => {
    const numbers = 3 * side * side;
    if (random() < 0.3) {
      const good = { name: "images", shape: [1, 3, side, side], datatype: "FP32" };
      return { body: Buffer.from(JSON.stringify({ inputs: [{ ...good, data: Array.from({ length: numbers }, () => 0.5) }] })) };
    }
    const input = {
      name: pick(["images", "images", "x"]),
      shape: pick([[1, 3, side, side], [1, 3, 32, 32], [1, 3, 33, 31], [2, 1, 32, 32], [0], [-1, 3, 1, 1], [8192, 8192, 8192, 8192]]),
      datatype: pick(["FP32", "FP32", "INT8", ""]),
    };
    if (random() < 0.5)
      return {
        body: Buffer.from(JSON.stringify({ inputs: [{ ...input, data: pick([[], [1], Array.from({ length: numbers }, () => 0.5), "x", [[[null]]]]) }] })),
      };
    const binary = Buffer.alloc(pick([0, 4, numbers * 4, numbers * 4 - 1]));
    const json = Buffer.from(JSON.stringify({ inputs: [{ ...input, parameters: { binary_data_size: pick([binary.length, numbers * 4, -1, "x"]) } }] }));
    return { body: Buffer.concat([json, binary]), length: pick([json.length, 0, json.length - 1, 99_999_999]) };
  };

  for (;;) {
    const mixed = random() < 0.5;
    const kind = pick(["picture", "picture", "picture", "picture", "form", "form", "options", "fields", "tensor", "many"]);
    switch (kind) {
      case "picture":
        yield { kind, path: `/predict${query()}`, headers, body: form([mutate(pick(pictures))]) };
        break;
      case "form":
        yield { kind, path: "/predict", headers, body: mutate(form([pick(pictures)], random() < 0.3 ? { conf: "0.5" } : {})) };
        break;
      case "options":
        yield {
          kind,
          path: `/predict?${pick(names)}=${encodeURIComponent(text())}&${pick(names)}=${encodeURIComponent(text())}`,
          headers,
          body: form([pick(pictures)]),
        };
        break;
      case "fields":
        yield { kind, path: "/predict", headers, body: form([pick(pictures)], { [pick(names)]: text(), [pick(names)]: text() }) };
        break;
      case "many":
        yield {
          kind,
          path: "/predict",
          headers,
          body: form(
            Array.from({ length: 1 + below(20) }, () => pick(mixed ? pictures : pictures.slice(0, taken))),
            mixed ? Object.fromEntries(Array.from({ length: below(20) }, (_, i) => [`f${i}`, "1"])) : {},
          ),
        };
        break;
      default: {
        const { body, length } = tensorBody();
        const changed = random() < 0.5 ? body : mutate(body);
        const path = pick(["/v2/models/m/infer", "/v2/models/m/versions/1/infer", "/v2/models/%00/infer", "/v2/models/x/infer"]);
        yield { kind, path, headers: length === undefined ? {} : { "inference-header-content-length": String(length) }, body: changed };
      }
    }
  }
}

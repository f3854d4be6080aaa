import sharp from "sharp";
import { captureTime } from "../groups/capture-time.ts";
import { pictureHashes } from "../groups/perceptual-hash.ts";

/** The most pixels that a picture may decode to. */
const maxImagePixels = 100_000_000;
/** How long one picture may take to decode. */
const decodeSeconds = 120;
/** So many zero bytes at a file's end are room for what a copy has not yet written. */
const tailOfZeros = 4096;

/** Formats that are taken, by sharp's name, and the extension each is stored under. */
const extensions: Readonly<Record<string, string>> = { jpeg: "jpg", png: "png", webp: "webp" };

/** Whether a file's writing may still end well, if it is young: `soon` after a minute, `later` after an hour, `never`. */
export type Hope = "soon" | "later" | "never";

/** Why a file's bytes are no picture that can be taken. */
export class NotAPicture extends Error {
  override readonly name = "NotAPicture";
  readonly hope: Hope;
  constructor(why: string, hope: Hope, options?: ErrorOptions) {
    super(why, options);
    this.hope = hope;
  }
}

/** What is known of a picture once it was decoded. */
export interface PictureFacts {
  readonly extension: string;
  /** Pixels as stored, before EXIF orientation. */
  readonly width: number;
  readonly height: number;
  readonly orientation: number;
  readonly captured_at: string | null;
  /** SHA-256 of its pixels, and a small rendition of it, for finding pictures that are the same or nearly so. */
  readonly pixels: string;
  readonly look: Uint8Array;
}

/**
 * The facts of a picture, which was decoded to its last pixel as training will do it; throws NotAPicture. All facts that
 * need the decoded picture or its metadata are gathered here, from the one decode.
 *
 * @param beforeDecoding is told the number of pixels, and may wait until there is memory for them
 */
export async function describePicture(data: Buffer, beforeDecoding: (pixels: number) => Promise<void>): Promise<PictureFacts> {
  checkBeginning(data);
  try {
    const image = sharp(data, { limitInputPixels: maxImagePixels, failOn: "truncated" }).timeout({ seconds: decodeSeconds });
    const { format, width, height, orientation, pages, exif } = await image.metadata();
    const extension = extensions[format];
    if (!extension) throw new NotAPicture(`it is ${format}, and only JPEG, PNG and WebP are taken`, "never");
    if ((pages ?? 1) > 1) throw new NotAPicture("it is an animation", "never");
    await beforeDecoding(width * height);
    // To its pixels: stats() is faster, and takes an interlaced PNG that was cut at any length.
    const { pixels, look } = await pictureHashes(image);
    checkEnd(data, extension);
    return { extension, width, height, orientation: orientation ?? 1, captured_at: captureTime(exif) ?? null, pixels, look };
  } catch (error) {
    if (error instanceof NotAPicture) throw error;
    throw new NotAPicture(`it cannot be decoded: ${(error as Error).message.split("\n")[0]}`, isTailZero(data) ? "later" : "soon", { cause: error });
  }
}

/** How files of each kind begin: `at` bytes from the start. Only the first three are ever decoded. */
const beginnings: readonly { readonly kind: string; readonly at: number; readonly bytes: Buffer; readonly taken?: true }[] = [
  { kind: "JPEG", at: 0, bytes: Buffer.from([0xff, 0xd8, 0xff]), taken: true },
  { kind: "PNG", at: 0, bytes: Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]), taken: true },
  { kind: "WebP", at: 8, bytes: Buffer.from("WEBP"), taken: true },
  { kind: "GIF", at: 0, bytes: Buffer.from("GIF8") },
  { kind: "BMP", at: 0, bytes: Buffer.from("BM") },
  { kind: "TIFF", at: 0, bytes: Buffer.from("II*\0") },
  { kind: "TIFF", at: 0, bytes: Buffer.from("MM\0*") },
  { kind: "HEIC, AVIF or a video", at: 4, bytes: Buffer.from("ftyp") },
  { kind: "PDF", at: 0, bytes: Buffer.from("%PDF") },
  { kind: "an archive", at: 0, bytes: Buffer.from("PK\u0003\u0004") },
  { kind: "SVG or other XML", at: 0, bytes: Buffer.from("<svg") },
  { kind: "SVG or other XML", at: 0, bytes: Buffer.from("<?xml") },
];

/** Refuses by the first bytes what is none of the three formats, so that no other decoder ever sees a stranger's bytes. */
function checkBeginning(data: Buffer): void {
  const kind = beginnings.find(({ at, bytes }) => data.subarray(at, at + bytes.length).equals(bytes));
  if (kind?.taken) return;
  const head = data.subarray(0, 12);
  // Too short to tell, or room that a copy will fill.
  const mayBecome = head.length < 12 || head.every((byte) => byte === 0);
  throw new NotAPicture(`it is ${kind?.kind ?? "none of the known kinds of picture"}, and only JPEG, PNG and WebP are taken`, mayBecome ? "soon" : "never");
}

/** Whether a file ends in zeros, where the rest of it may still come. */
export const isTailZero = (data: Buffer): boolean => data.length >= tailOfZeros && data.subarray(-tailOfZeros).every((byte) => byte === 0);

/**
 * Refuses what decodes although its end is missing. A WebP decoder takes zeros for pixels. JPEG and PNG have an end mark, so
 * zeros behind it are either padding or room for a video that a phone has put there: only time tells, and `ingest` asks.
 */
function checkEnd(data: Buffer, extension: string): void {
  if (extension !== "webp" || !isTailZero(data)) return;
  // The length that the file itself gives: zeros beyond it are padding.
  const end = data.readUInt32LE(4) + 8;
  if (end < data.length && !isTailZero(data.subarray(0, end))) return;
  throw new NotAPicture(`its last ${tailOfZeros} bytes and more are zeros: it was not copied to its end`, "later");
}

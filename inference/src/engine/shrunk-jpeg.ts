import { closeSync, openSync, unlinkSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import sharp, { type Sharp, type SharpOptions } from "sharp";

/** What libjpeg can divide a picture's sides by while it decodes it. */
const divisors = [8, 4, 2] as const;

/** The largest divisor that leaves a picture at least as large as it is needed, pixels; 1 where it has to be decoded whole. */
export function divisorOf(width: number, height: number, needed: { readonly width: number; readonly height: number }): number {
  return divisors.find((each) => Math.ceil(width / each) >= needed.width && Math.ceil(height / each) >= needed.height) ?? 1;
}

let files = 0;

/**
 * Gives a JPEG that is divided while it is decoded, which costs 4.9 ms where decoding a picture of 1280 × 960 and halving it
 * costs 8.1. sharp divides by itself only where at least a third remains to be taken away, and never down to the size that
 * is asked for; but libvips takes an option with a file's name. So the picture is written to a file without a name (it is
 * gone when it is closed, whatever happens), which is opened through /proc.
 * @throws {Error} where there is no /proc, or nowhere to write; the picture has to be decoded whole then
 */
export async function withShrunkJpeg<T>(data: Buffer, divisor: number, options: SharpOptions, use: (image: Sharp) => Promise<T>): Promise<T> {
  const name = path.join(tmpdir(), `airloom-${process.pid}-${files++}.jpg`);
  const file = openSync(name, "wx+", 0o600);
  try {
    unlinkSync(name);
    for (let at = 0; at < data.length;) at += writeSync(file, data, at);
    return await use(sharp(`/proc/self/fd/${file}[shrink=${divisor}]`, options));
  } finally {
    closeSync(file);
  }
}

import assert from "node:assert/strict";
import fc from "fast-check";
import sharp from "sharp";
import { captureTime, tryMsOf } from "../../src/groups/capture-time.ts";

/** EXIF as libvips writes it, which is nobody here. */
async function exifOf(tags: Record<string, string>, format: "jpeg" | "png" | "webp" = "jpeg"): Promise<Buffer | undefined> {
  const picture = sharp({ create: { width: 8, height: 8, channels: 3, background: "red" } }).withExif({ IFD0: { Make: "Maker" }, IFD2: tags });
  return (await sharp(await picture.toFormat(format).toBuffer()).metadata()).exif;
}

describe("capture time", () => {
  it("is read from JPEG, PNG and WebP", async () => {
    for (const format of ["jpeg", "png", "webp"] as const)
      assert.equal(captureTime(await exifOf({ DateTimeOriginal: "2024:05:01 12:30:11" }, format)), "2024-05-01T12:30:11", format);
  });

  it("has the fraction and the offset where they are written", async () => {
    const exif = await exifOf({ DateTimeOriginal: "2024:05:01 12:30:11", OffsetTimeOriginal: "+02:00", SubSecTimeOriginal: "25" });
    assert.equal(captureTime(exif), "2024-05-01T12:30:11.25+02:00");
    assert.equal(tryMsOf("2024-05-01T12:30:11.25+02:00"), Date.UTC(2024, 4, 1, 10, 30, 11, 250));
  });

  it("is none without EXIF, without the tag, or where a camera had no clock", async () => {
    assert.equal(captureTime(undefined), undefined);
    assert.equal(captureTime(await exifOf({})), undefined);
    for (const time of ["0000:00:00 00:00:00", "    :  :     :  :  ", "2024:02:31 12:00:00", "2024:05:01 25:00:00"])
      assert.equal(captureTime(await exifOf({ DateTimeOriginal: time })), undefined, time);
  });

  it("reads big-endian: bytes written by hand from TIFF 6.0", () => {
    const tiff = Buffer.alloc(26 + 18 + 20);
    tiff.write("MM\0*", 0, "latin1");
    tiff.writeUInt32BE(8, 4);
    // One entry: the EXIF directory (0x8769, LONG, 1) at 26.
    tiff.writeUInt16BE(1, 8);
    tiff.set([0x87, 0x69, 0, 4, 0, 0, 0, 1, 0, 0, 0, 26], 10);
    // One entry: DateTimeOriginal (0x9003, ASCII, 20) at 44.
    tiff.writeUInt16BE(1, 26);
    tiff.set([0x90, 0x03, 0, 2, 0, 0, 0, 20, 0, 0, 0, 44], 28);
    tiff.write("1999:12:31 23:59:59\0", 44, "latin1");
    assert.equal(captureTime(tiff), "1999-12-31T23:59:59");
  });

  it("never throws: any bytes, and any one byte of real EXIF changed or any end cut off", async () => {
    const exif = (await exifOf({ DateTimeOriginal: "2024:05:01 12:30:11", SubSecTimeOriginal: "123" }))!;
    const isTime = (time: string | undefined) => time === undefined || tryMsOf(time) !== undefined;
    fc.assert(
      fc.property(fc.nat(exif.length - 1), fc.nat(255), fc.nat(exif.length), (at, byte, length) => {
        const changed = Buffer.from(exif);
        changed[at] = byte;
        assert.ok(isTime(captureTime(changed)) && isTime(captureTime(exif.subarray(0, length))));
      }),
      { numRuns: 500 },
    );
    fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => isTime(captureTime(Buffer.concat([Buffer.from("II*\0"), bytes])))));
  });
});

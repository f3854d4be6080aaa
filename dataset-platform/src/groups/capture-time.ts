/** Tags of EXIF 2.32: the pointer to its own directory, and when the picture was taken. */
const tags = { exifDirectory: 0x8769, taken: 0x9003, offset: 0x9011, fraction: 0x9291 } as const;

/**
 * When a picture was taken, as its EXIF says: `2024-05-01T12:30:11.25+02:00`, or without the offset where the camera wrote
 * none. Such a local time is kept as it is: nobody knows its zone, and it compares only with others of its kind.
 * @param exif as sharp's `metadata().exif` gives it
 */
export function captureTime(exif: Buffer | undefined): string | undefined {
  if (!exif) return undefined;
  // JPEG puts a header before the TIFF structure; PNG and WebP may do without.
  const tiff = exif.toString("latin1", 0, 6) === "Exif\0\0" ? exif.subarray(6) : exif;
  const order = tiff.toString("latin1", 0, 2);
  if (order !== "II" && order !== "MM") return undefined;
  const reader = readerOf(tiff, order === "II");
  const directory = reader.valueOf(reader.uint32(4), tags.exifDirectory);
  if (directory === undefined) return undefined;
  const taken = /^(\d{4}):(\d\d):(\d\d) (\d\d):(\d\d):(\d\d)$/.exec(reader.textOf(directory, tags.taken) ?? "");
  if (!taken) return undefined;
  const [, year, month, day, hour, minute, second] = taken;
  const fraction = /^\d{1,9}$/.exec(reader.textOf(directory, tags.fraction) ?? "")?.[0];
  const offset = /^[+-]\d\d:\d\d$/.exec(reader.textOf(directory, tags.offset) ?? "")?.[0];
  const time = `${year}-${month}-${day}T${hour}:${minute}:${second}${fraction ? `.${fraction}` : ""}${offset ?? ""}`;
  // Cameras without a clock write zeros.
  return tryMsOf(time) === undefined ? undefined : time;
}

/** Milliseconds of a capture time since 1970; of one without an offset as if it were UTC's. */
export function tryMsOf(time: string): number | undefined {
  const date = time.slice(0, 10);
  const midnight = new Date(`${date}T00:00:00Z`);
  // Date takes the 31st of February for the 2nd of March.
  if (Number.isNaN(midnight.getTime()) || midnight.toISOString().slice(0, 10) !== date) return undefined;
  const ms = Date.parse(hasOffset(time) ? time : `${time}Z`);
  return Number.isNaN(ms) ? undefined : ms;
}

export const hasOffset = (time: string): boolean => /(?:Z|[+-]\d\d:\d\d)$/.test(time);

/** Reads TIFF 6.0's directories; whatever lies outside the buffer is not there. */
function readerOf(tiff: Buffer, isLittle: boolean) {
  const number = (at: number, bytes: 2 | 4): number | undefined => {
    if (at < 0 || at + bytes > tiff.length) return undefined;
    return isLittle ? tiff.readUIntLE(at, bytes) : tiff.readUIntBE(at, bytes);
  };
  const entryOf = (directory: number | undefined, tag: number): number | undefined => {
    if (directory === undefined) return undefined;
    const count = number(directory, 2) ?? 0;
    for (let at = directory + 2, i = 0; i < count && at + 12 <= tiff.length; at += 12, i++) if (number(at, 2) === tag) return at;
    return undefined;
  };
  const valueOf = (directory: number | undefined, tag: number): number | undefined => {
    const entry = entryOf(directory, tag);
    return entry === undefined ? undefined : number(entry + 8, 4);
  };
  return {
    uint32: (at: number) => number(at, 4),
    valueOf,
    /** Up to the first NUL. What has four bytes or fewer stands in the entry itself. */
    textOf(directory: number, tag: number): string | undefined {
      const entry = entryOf(directory, tag);
      const length = entry === undefined ? undefined : number(entry + 4, 4);
      if (entry === undefined || length === undefined) return undefined;
      const start = length <= 4 ? entry + 8 : number(entry + 8, 4);
      if (start === undefined || length > 64 || start + length > tiff.length) return undefined;
      return tiff
        .toString("latin1", start, start + length)
        .split("\0")[0]!
        .trim();
    },
  };
}

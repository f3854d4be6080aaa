import { lstat, open, readFile, rm } from "node:fs/promises";
import path from "node:path";
import { atomicWrite, makeFolder, placeFile, syncFolder, tryLink } from "./atomic-write.ts";

/** The folder in `incoming/` for what cannot be taken. */
export const rejectedFolder = "rejected";

const reasonSuffix = ".why.txt";
/** The longest name of a file on the usual volumes, in bytes. */
const longestNameBytes = 255;
/** Up to this size two files are compared by their bytes. */
const mostComparedBytes = 64 * 1024 * 1024;

/**
 * Moves a file that cannot be taken to `rejected/`, with the reason beside it: it is the user's, and not ours to delete. The
 * file leaves its place last: ended anywhere and done again, it is there once. Returns its name there.
 */
export async function moveToRejected(incoming: string, file: string, name: string, why: string): Promise<string> {
  const folder = path.join(incoming, rejectedFolder);
  await makeFolder(folder);
  for (let n = 1; ; n++) {
    const kept = rejectedName(name, n);
    const target = path.join(folder, kept);
    if (!(await putUnder(file, target))) continue;
    await atomicWrite(`${target}${reasonSuffix}`, `${why}\n`);
    await syncFolder(folder);
    await rm(file, { force: true });
    return kept;
  }
}

/** Gives the file its second name; false where that name is another file's. */
async function putUnder(file: string, target: string): Promise<boolean> {
  try {
    if (await tryLink(file, target)) return true;
    // No links here: the name is reserved, then the copy takes it.
    await (await open(target, "wx")).close();
    await placeFile(file, target);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    // Moved by a run that was ended, or dropped a second time: once is enough.
    return haveSameBytes(file, target);
  }
}

async function haveSameBytes(a: string, b: string): Promise<boolean> {
  const [one, other] = [await lstat(a), await lstat(b)];
  if (one.ino === other.ino && one.dev === other.dev) return true;
  if (!other.isFile() || one.size !== other.size || one.size > mostComparedBytes) return false;
  return (await readFile(a)).equals(await readFile(b));
}

/** A name in `rejected/` that leaves room for the reason's: shortened in the middle of no character, its extension kept. */
export function rejectedName(name: string, n: number): string {
  const { name: stem, ext } = path.parse(path.basename(name));
  const prefix = n === 1 ? "" : `${n}-`;
  const room = longestNameBytes - reasonSuffix.length - prefix.length;
  const extension = Buffer.byteLength(ext) > 16 ? "" : ext;
  return prefix + firstBytes(extension === ext ? stem : stem + ext, room - Buffer.byteLength(extension)) + extension;
}

/** The longest beginning of a text, in whole characters, that UTF-8 holds in so many bytes. */
export function firstBytes(text: string, most: number): string {
  const bytes = Buffer.from(text);
  if (bytes.length <= most) return text;
  let end = most;
  while (end > 0 && (bytes[end]! & 0xc0) === 0x80) end--;
  return bytes.subarray(0, end).toString();
}

/** The longest end of a text, in whole characters, that UTF-8 holds in so many bytes. */
export function lastBytes(text: string, most: number): string {
  const bytes = Buffer.from(text);
  let from = Math.max(0, bytes.length - most);
  while (from < bytes.length && (bytes[from]! & 0xc0) === 0x80) from++;
  return bytes.subarray(from).toString();
}

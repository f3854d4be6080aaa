import { createWriteStream } from "node:fs";
import { stat } from "node:fs/promises";
import path from "node:path";
import { Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import { BadArchive, type Unpacking } from "./entries.ts";
import { unpackTar } from "./tar.ts";
import { unpackZip } from "./zip.ts";
import { makeFolders } from "../store/make-folder.ts";

/** Bounds that no archive may break. Only bytes that were unpacked count: what an archive says of itself may be a lie. */
export interface ArchiveLimits {
  /** The most entries, folders too. */
  readonly entries: number;
  /** The most bytes of one file, and of all. */
  readonly fileBytes: number;
  readonly totalBytes: number;
  /** How many times its own size an archive may unfold to, beyond the first 64 MiB: pictures are compressed already. */
  readonly ratio: number;
}

export const archiveLimits: ArchiveLimits = { entries: 100_000, fileBytes: 64 * 1024 * 1024, totalBytes: 32 * 1024 ** 3, ratio: 100 };
const freeBytes = 64 * 1024 * 1024;
/** The longest name within an archive. */
const longestName = 1000;

export interface UnpackedFile {
  readonly file: string;
  /** Its path within the archive, with "/"; no file system has seen it. */
  readonly name: string;
}

/** Whether a name is that of an archive which is unpacked. */
export const isArchive = (name: string): boolean => /\.(zip|tar|tar\.gz|tgz)$/i.test(name);

/** Unpacks all files of an archive into a new folder, under numbers for names; throws BadArchive where it breaks a bound. */
export async function unpackArchive(archive: string, into: string, signal?: AbortSignal, limits: ArchiveLimits = archiveLimits): Promise<UnpackedFile[]> {
  const files: UnpackedFile[] = [];
  const { size } = await stat(archive);
  const mostBytes = Math.min(limits.totalBytes, freeBytes + limits.ratio * size);
  let entries = 0;
  let total = 0;
  await makeFolders(into);
  const unpacking: Unpacking = {
    isWanted: (name) => !partsOf(name).some((part) => part.startsWith(".") || part === "__MACOSX"),
    begin(name) {
      signal?.throwIfAborted();
      if (++entries > limits.entries) throw new BadArchive(`it has more than ${limits.entries} entries`);
      checkName(name);
    },
    async write(name, content) {
      const file = path.join(into, String(files.length));
      let bytes = 0;
      const count = new Transform({
        transform(chunk: Buffer, _, done) {
          bytes += chunk.length;
          total += chunk.length;
          if (bytes > limits.fileBytes) done(new BadArchive(`${JSON.stringify(name)} in it has more than ${limits.fileBytes} bytes`));
          else if (total > mostBytes) done(new BadArchive(`it has ${size} bytes and unfolds to more than ${mostBytes}`));
          else done(null, chunk);
        },
      });
      await pipeline(content, count, createWriteStream(file, { flags: "wx" }), ...(signal ? [{ signal }] : []));
      files.push({ file, name: partsOf(name).join("/") });
    },
  };
  await (/\.zip$/i.test(archive) ? unpackZip(archive, unpacking) : unpackTar(archive, unpacking, mostBytes));
  return files;
}

/** A path's folders and name: a tar of "." begins each with "./". */
const partsOf = (name: string) => name.split("/").filter((part) => part !== "" && part !== ".");

/** Nothing is ever written under these names; one that leads out of its folder is an attack all the same. */
function checkName(name: string): void {
  const parts = name.split("/");
  // eslint-disable-next-line no-control-regex -- control characters are what is looked for
  if (name === "" || /[\u0000-\u001f\u007f\\]/.test(name) || /^(\/|[A-Za-z]:)/.test(name) || parts.includes(".."))
    throw new BadArchive(`it holds ${JSON.stringify(name.slice(0, 200))}, a path that could lead out of its folder`);
  if (Buffer.byteLength(name) > longestName) throw new BadArchive(`it holds a path of more than ${longestName} bytes`);
}

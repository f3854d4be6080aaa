import { isUtf8 } from "node:buffer";
import { openPromise } from "yauzl";
import { asBadArchive, BadArchive, type Unpacking } from "./entries.ts";

const typeMask = 0o170000;
const regularFile = 0o100000;
const folderType = 0o040000;

/** Reads a zip's entries in their order and gives each file to `unpacking`. */
export async function unpackZip(archive: string, unpacking: Unpacking): Promise<void> {
  const zip = await openPromise(archive, { lazyEntries: true, strictFileNames: true, validateEntrySizes: true }).catch(bad);
  try {
    const entries = zip.eachEntry()[Symbol.asyncIterator]();
    for (;;) {
      const { done, value: entry } = await entries.next().catch(bad);
      if (done) return;
      // Many programs write UTF-8 and do not say so.
      const name = isUtf8(entry.fileNameRaw) ? entry.fileNameRaw.toString() : entry.fileName;
      unpacking.begin(name);
      // Unix keeps a file's type in the upper half; other systems leave it empty.
      const type = (entry.externalFileAttributes >>> 16) & typeMask;
      if (type !== 0 && type !== regularFile && type !== folderType) throw new BadArchive(`it holds ${JSON.stringify(name)}, a link or a device`);
      if (entry.isEncrypted()) throw new BadArchive("it is encrypted");
      if (name.endsWith("/") || !unpacking.isWanted(name)) continue;
      const content = await zip.openReadStreamPromise(entry).catch(bad);
      await unpacking.write(name, content).catch(bad);
    }
  } finally {
    zip.close();
  }
}

function bad(error: unknown): never {
  throw asBadArchive(error);
}

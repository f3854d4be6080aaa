import { inflateRawSync } from "node:zlib";

/** A file in an archive, where it begins and how it is stored. */
interface Entry {
  readonly name: string;
  readonly method: number;
  readonly compressed: number;
  readonly size: number;
  readonly at: number;
}

const endSignature = 0x06054b50;
const entrySignature = 0x02014b50;
const localSignature = 0x04034b50;
const mostEntries = 20_000;

/**
 * The files of a zip archive in memory, by name; read one at a time. Sizes are those of the directory, and nothing is read
 * beyond them or beyond the archive: an archive is hostile until it is checked. Zip64 and encryption are refused.
 */
export function readZip(archive: Buffer): { names: readonly string[]; read: (name: string, mostBytes: number) => Buffer } {
  const end = archive.lastIndexOf(Buffer.from([0x50, 0x4b, 0x05, 0x06]));
  if (end < 0 || end + 22 > archive.length || archive.readUInt32LE(end) !== endSignature) throw new Error("it is not a zip archive");
  const count = archive.readUInt16LE(end + 10);
  if (count > mostEntries) throw new Error(`the archive has ${count} files, and ${mostEntries} are the most`);
  const entries = new Map<string, Entry>();
  let at = archive.readUInt32LE(end + 16);
  for (let i = 0; i < count; i++) {
    if (at + 46 > archive.length || archive.readUInt32LE(at) !== entrySignature) throw new Error("the archive's directory is damaged");
    const [names, extras, comments] = [archive.readUInt16LE(at + 28), archive.readUInt16LE(at + 30), archive.readUInt16LE(at + 32)];
    const name = archive.toString("utf8", at + 46, at + 46 + names);
    if (archive.readUInt16LE(at + 8) & 1) throw new Error(`${name} in the archive is encrypted`);
    const [compressed, size, local] = [archive.readUInt32LE(at + 20), archive.readUInt32LE(at + 24), archive.readUInt32LE(at + 42)];
    if (size === 0xffffffff || local === 0xffffffff) throw new Error("the archive is in the zip64 form, for files over 4 GB, which is not read");
    entries.set(name, { name, method: archive.readUInt16LE(at + 10), compressed, size, at: local });
    at += 46 + names + extras + comments;
  }
  return {
    names: [...entries.keys()],
    read(name, mostBytes) {
      const entry = entries.get(name);
      if (!entry) throw new Error(`the archive lacks ${name}`);
      if (entry.size > mostBytes) throw new Error(`${name} in the archive has ${entry.size} bytes, and ${mostBytes} are the most`);
      return contentOf(archive, entry);
    },
  };
}

function contentOf(archive: Buffer, { name, method, compressed, size, at }: Entry): Buffer {
  if (at + 30 > archive.length || archive.readUInt32LE(at) !== localSignature) throw new Error(`${name} is not where the archive's directory says`);
  const start = at + 30 + archive.readUInt16LE(at + 26) + archive.readUInt16LE(at + 28);
  if (start + compressed > archive.length) throw new Error(`${name} in the archive is cut off`);
  const stored = archive.subarray(start, start + compressed);
  if (method !== 0 && method !== 8) throw new Error(`${name} in the archive is compressed in a way (${method}) that is not read`);
  const content = method === 0 ? stored : inflateRawSync(stored, { maxOutputLength: size });
  if (content.length !== size) throw new Error(`${name} in the archive has ${content.length} bytes, and its directory says ${size}`);
  return content;
}

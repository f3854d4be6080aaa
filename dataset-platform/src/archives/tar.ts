import { createReadStream } from "node:fs";
import { Transform, Writable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createGunzip } from "node:zlib";
import { extract } from "tar-stream";
import { asBadArchive, BadArchive, type Unpacking } from "./entries.ts";

/** A tar ends with two blocks of zeros; without them it was cut, maybe between two files. */
const endBytes = 1024;
const dataTypes = new Set(["file", "contiguous-file"]);

/** Reads the entries of a tar, gzipped or not, in their order and gives each file to `unpacking`. */
export async function unpackTar(archive: string, unpacking: Unpacking, mostBytes: number): Promise<void> {
  const guard = guarded(mostBytes);
  const tar = extract();
  let failure: unknown;
  tar.on("entry", (header, content, next) => {
    const handle = async () => {
      unpacking.begin(header.name);
      const isFile = dataTypes.has(header.type ?? "");
      if (!isFile && header.type !== "directory") throw new BadArchive(`it holds ${JSON.stringify(header.name)}, a link or a device`);
      // An entry is a streamx stream, which its types do not say.
      if (isFile && unpacking.isWanted(header.name)) await unpacking.write(header.name, content as unknown as AsyncIterable<Buffer>);
      else await pipeline(content, new Writable({ write: (_chunk, _encoding, done) => done() }));
    };
    handle().then(
      () => next(),
      (error: unknown) => {
        failure = error;
        tar.destroy(error as Error);
      },
    );
  });
  const unzipped = /gz$/i.test(archive) ? [createGunzip()] : [];
  try {
    await pipeline([createReadStream(archive), ...unzipped, guard.stream, tar]);
  } catch (error) {
    throw asBadArchive(failure ?? error);
  }
  if (!guard.hasEnd()) throw new BadArchive("it has no end: it was not copied whole", { mayBeCut: true });
}

/** Counts what flows, also what no file is made of, and keeps the last bytes. */
function guarded(mostBytes: number) {
  let total = 0;
  let end = Buffer.alloc(0);
  const stream = new Transform({
    transform(chunk: Buffer, _, done) {
      total += chunk.length;
      end = Buffer.concat([end, chunk]).subarray(-endBytes);
      if (total > mostBytes) done(new BadArchive(`it unfolds to more than ${mostBytes} bytes`));
      else done(null, chunk);
    },
  });
  return { stream, hasEnd: () => end.length === endBytes && end.every((byte) => byte === 0) };
}

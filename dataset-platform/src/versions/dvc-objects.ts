import { createHash, randomUUID } from "node:crypto";
import { constants } from "node:fs";
import { chmod, copyFile, open, readFile, rename, rm, stat } from "node:fs/promises";
import path from "node:path";
import { syncFolder, tryLink } from "../store/atomic-write.ts";
import { hashOf, sizeOf } from "../store/file-facts.ts";
import { makeFolders } from "../store/make-folder.ts";

/** A file of a DVC-tracked folder. */
export interface DvcEntry {
  readonly md5: string;
  /** Relative to the folder, with "/". */
  readonly relpath: string;
}

/** A file that was taken for an object and is not that. */
export class NotTheObject extends Error {
  override readonly name = "NotTheObject";
}

/** Where an object stands in a DVC 3 cache or remote. */
export const objectPath = (cache: string, oid: string): string => path.join(cache, "files/md5", oid.slice(0, 2), oid.slice(2));

export const isDirOid = (oid: unknown): oid is string => typeof oid === "string" && /^[0-9a-f]{32}\.dir$/.test(oid);

export const md5OfText = (text: string): string => createHash("md5").update(text).digest("hex");

/** Python's json.dumps of a string: everything outside space … ~ escaped as \uXXXX. */
function pythonJson(text: string): string {
  return JSON.stringify(text).replace(/[\u007f-\uffff]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

// eslint-disable-next-line no-control-regex -- ASCII is what is looked for
const isAscii = (text: string): boolean => /^[\u0000-\u007f]*$/.test(text);

/** UTF-8's byte order is code-point order. */
const byCodePoint = (a: string, b: string): number => Buffer.compare(Buffer.from(a), Buffer.from(b));

/** In ASCII, JavaScript's own order is by code point too, at an eighth of the time. */
const asIs = (a: string, b: string): number => (a < b ? -1 : Number(a > b));

/** The `.dir` object of a folder, byte for byte as DVC writes it, and its id. */
export function dirObject(entries: readonly DvcEntry[]): { oid: string; text: string } {
  const order = entries.every(({ relpath }) => isAscii(relpath)) ? asIs : byCodePoint;
  const sorted = entries.toSorted((a, b) => order(a.relpath, b.relpath));
  const text = `[${sorted.map(({ md5, relpath }) => `{"md5": ${pythonJson(md5)}, "relpath": ${pythonJson(relpath)}}`).join(", ")}]`;
  return { oid: `${md5OfText(text)}.dir`, text };
}

interface AddOptions {
  readonly bytes: number;
  readonly copy?: boolean;
  readonly replace?: boolean;
}

/** An object store in DVC's layout, to which objects are added. Nothing in it is known to outlive a power cut before `sync`. */
export class ObjectWriter {
  readonly cache: string;
  readonly #touched = new Set<string>();
  readonly #parents = new Set<string>();

  constructor(cache: string) {
    this.cache = cache;
  }

  /** Adds an object with this text; one that is there with the right size stays. */
  async addText(oid: string, text: string): Promise<void> {
    const data = Buffer.from(text);
    if ((await sizeOf(objectPath(this.cache, oid))) === data.length) return;
    await this.#place(oid, async (temporary) => {
      const handle = await open(temporary, "wx", 0o444);
      try {
        await handle.writeFile(data);
        await handle.datasync();
      } finally {
        await handle.close();
      }
    });
  }

  /**
   * Adds a file as an object: hard-linked where the volume allows and `copy` does not forbid. It gets its name only when what
   * lies under the temporary one has the hash and the size. One that is there with the right size stays, unless `replace` says
   * that it is damaged.
   */
  async addFile(oid: string, file: string, { bytes, copy = false, replace = false }: AddOptions): Promise<void> {
    if (!replace && (await sizeOf(objectPath(this.cache, oid))) === bytes) return;
    await this.#place(oid, async (temporary) => {
      if (copy || !(await tryLink(file, temporary))) await copyAndSync(file, temporary);
      if ((await hashOf(temporary, "md5")) !== oid.slice(0, 32) || (await stat(temporary)).size !== bytes)
        throw new NotTheObject(`${file} does not hold the bytes that its name stands for (MD5 ${oid.slice(0, 32)}, ${bytes} bytes)`);
      // DVC trusts an object that is read-only without reading it, so it becomes so only when it is whole.
      await chmod(temporary, 0o444);
    });
  }

  /** Makes all that was added outlive a power cut. */
  async sync(): Promise<void> {
    for (const folder of [...this.#touched, ...this.#parents]) await syncFolder(folder);
    this.#touched.clear();
    this.#parents.clear();
  }

  async #place(oid: string, fill: (temporary: string) => Promise<void>): Promise<void> {
    const target = objectPath(this.cache, oid);
    const folder = path.dirname(target);
    if (!this.#touched.has(folder)) {
      if (await makeFolders(folder)) this.#parents.add(path.dirname(folder));
      this.#touched.add(folder);
    }
    const temporary = path.join(folder, `.${randomUUID()}.tmp`);
    try {
      await fill(temporary);
      await rename(temporary, target);
    } catch (error) {
      await rm(temporary, { force: true });
      throw error;
    }
  }
}

async function copyAndSync(from: string, to: string): Promise<void> {
  await copyFile(from, to, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE);
  const handle = await open(to, "r");
  try {
    await handle.datasync();
  } finally {
    await handle.close();
  }
}

/** The entries of a `.dir` object in a cache; undefined where it is missing, or its bytes are not those of its name. */
export async function tryReadDirObject(cache: string, oid: string): Promise<DvcEntry[] | undefined> {
  const text = await readFile(objectPath(cache, oid), "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return undefined;
    throw error;
  });
  return text === undefined || `${md5OfText(text)}.dir` !== oid ? undefined : (JSON.parse(text) as DvcEntry[]);
}

import { isUtf8 } from "node:buffer";
import type { Dirent } from "node:fs";
import { lstat, readdir } from "node:fs/promises";
import path from "node:path";
import { rejectedFolder } from "./rejected-files.ts";

/** The most files that one run takes; the rest waits for the next. */
const mostFiles = 1_000_000;
/** The most folders within folders of a source. */
const mostFolders = 32;

/** A folder whose files a run takes: `incoming/` itself, or a source's own folder in it. */
export interface Place {
  readonly folder: string;
  /** What stands before the names of its files: "" or "<source>/". */
  readonly prefix: string;
}

/** A file that waits to be taken. */
export interface FoundFile {
  /** As bytes where its name is not UTF-8. */
  readonly path: string | Buffer;
  /** Relative to the place, with "/"; no two of one place are the same. */
  readonly name: string;
}

export interface Found {
  readonly files: readonly FoundFile[];
  /** What was left out, and why. */
  readonly notes: readonly string[];
}

/** The places of a run: `incoming/`, and the source's own folder where there is one. */
export async function placesOf(incoming: string, sourceId: string): Promise<{ places: Place[]; notes: string[] }> {
  const own = path.join(incoming, sourceId);
  const stats = await lstat(own).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return undefined;
    throw error;
  });
  const places: Place[] = [{ folder: incoming, prefix: "" }];
  if (stats?.isDirectory()) places.push({ folder: own, prefix: `${sourceId}/` });
  return { places, notes: stats?.isSymbolicLink() ? [`${own} is a link and was not followed: put a folder there`] : [] };
}

/** The files directly in `incoming/`. Its folders belong to other sources, which is said. */
export async function filesOfRoot(incoming: string, sourceId: string): Promise<Found> {
  const found = new Collection();
  const folders: string[] = [];
  for (const entry of await list(incoming)) {
    const name = entry.name.toString();
    if (name.startsWith(".")) continue;
    if (!entry.isDirectory()) found.add(incoming, "", entry);
    else if (name !== rejectedFolder && name !== sourceId) folders.push(name);
  }
  const own = folders.filter(isSourceId).toSorted();
  if (own.length > 0) found.note(`left for runs of their own source: ${shown(own.map((name) => `${name}/`))}`);
  const odd = folders.filter((name) => !isSourceId(name)).toSorted();
  if (odd.length > 0)
    found.note(`left, since a folder in ${incoming} is a source's, and these names cannot be: ${shown(odd)}. Move them into ${path.join(incoming, sourceId)}/`);
  return found.result();
}

/** The files of a source's own folder and of the folders beneath it. */
export async function filesBeneath(folder: string): Promise<Found> {
  const found = new Collection();
  const walk = async (at: string | Buffer, relative: string, depth: number) => {
    const entries = await list(at).catch((error: NodeJS.ErrnoException) => {
      // Gone since it was listed, or closed to us: the other folders are taken all the same.
      if (relative === "") throw error;
      if (error.code !== "ENOENT") found.note(`the folder ${relative} cannot be read (${error.code}) and was left`);
      return [];
    });
    for (const entry of entries) {
      const name = entry.name.toString();
      if (name.startsWith(".")) continue;
      if (!entry.isDirectory()) found.add(at, relative, entry);
      else if (depth < mostFolders) await walk(joined(at, entry.name), `${relative}${name}/`, depth + 1);
      else found.note(`${relative}${name}/ lies more than ${mostFolders} folders deep and was left`);
    }
  };
  await walk(folder, "", 0);
  return found.result();
}

/** Whether a name may be a source's: it names a folder beneath incoming/, and must lead neither out of it nor to what was refused. */
export const isSourceId = (name: string): boolean => /^[A-Za-z0-9_-][A-Za-z0-9_.-]{0,99}$/.test(name) && name !== rejectedFolder;

type Entry = Dirent<Buffer>;

/** Names as bytes: one that is no UTF-8 could not be opened by the text that it decodes to. */
async function list(folder: string | Buffer): Promise<Entry[]> {
  try {
    return await readdir(folder, { withFileTypes: true, encoding: "buffer" });
  } catch (cause) {
    const error = new Error(`cannot read the folder of incoming pictures ${folder.toString()}: ${(cause as Error).message}`, { cause });
    const { code, syscall } = cause as NodeJS.ErrnoException;
    throw Object.assign(error, { code, syscall });
  }
}

const joined = (folder: string | Buffer, name: Buffer): string | Buffer =>
  typeof folder === "string" && isUtf8(name) ? path.join(folder, name.toString()) : Buffer.concat([Buffer.from(folder), Buffer.from(path.sep), name]);

const shown = (names: readonly string[]) => `${names.slice(0, 10).join(", ")}${names.length > 10 ? ` and ${names.length - 10} more` : ""}`;

/** Gathers files under names of their own, and one line for each kind of what is left out. */
class Collection {
  readonly #files: FoundFile[] = [];
  readonly #names = new Set<string>();
  readonly #notes: string[] = [];
  readonly #links: string[] = [];
  readonly #others: string[] = [];
  #over = 0;

  add(folder: string | Buffer, relative: string, entry: Entry): void {
    const text = entry.name.toString();
    if (entry.isSymbolicLink()) this.#links.push(relative + text);
    else if (!entry.isFile()) this.#others.push(relative + text);
    else if (this.#files.length >= mostFiles) this.#over++;
    else {
      // Two names of bytes that are no UTF-8 may read the same.
      let name = relative + text;
      for (let n = 2; this.#names.has(name); n++) name = `${relative}${n}-${text}`;
      this.#names.add(name);
      this.#files.push({ path: joined(folder, entry.name), name });
    }
  }

  note(line: string): void {
    this.#notes.push(line);
  }

  result(): Found {
    const notes = [...this.#notes];
    if (this.#links.length > 0) notes.push(`links are not followed: ${shown(this.#links)}. Put the pictures themselves there`);
    if (this.#others.length > 0) notes.push(`neither files nor folders: ${shown(this.#others)}`);
    if (this.#over > 0) notes.push(`${this.#over} files are left for the next run: ${mostFiles} is the most of one`);
    return { files: this.#files.toSorted((a, b) => (a.name < b.name ? -1 : 1)), notes };
  }
}

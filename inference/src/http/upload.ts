import type { Request, RequestHandler, Response } from "express";
import multer, { type StorageEngine } from "multer";
import { ApiError } from "./api-error.ts";

/** What a form may have. */
export const uploadLimits = {
  /** The most bytes of a picture. */
  fileBytes: 32 * 1024 * 1024,
  /** The most pictures of a request. */
  files: 16,
  fields: 12,
  fieldBytes: 4096,
} as const;

/** Bytes of pictures that the whole service holds at once. */
const heldBytes = 512 * 1024 * 1024;

/** Files in memory; the service never writes what was sent to a disk. */
class MemoryStorage implements StorageEngine {
  #held = 0;
  /** Bytes of the requests that are not answered yet. */
  readonly #requests = new WeakMap<object, { bytes: number; over: boolean }>();

  /** What a request holds; its end gives it back. */
  #heldBy(res: Response): { bytes: number; over: boolean } {
    const known = this.#requests.get(res);
    if (known) return known;
    const own = { bytes: 0, over: false };
    this.#requests.set(res, own);
    res.once("close", () => this.#release(own));
    return own;
  }

  #release(own: { bytes: number; over: boolean }): void {
    this.#held -= own.bytes;
    own.bytes = 0;
    own.over = true;
  }

  /** Takes a file piece by piece, as long as there is room. */
  _handleFile(req: Request, file: Express.Multer.File, done: (error?: unknown, info?: Partial<Express.Multer.File>) => void) {
    const own = this.#heldBy(req.res!);
    const pieces: Buffer[] = [];
    let size = 0;
    file.stream.on("data", (piece: Buffer) => {
      if (own.over) return;
      pieces.push(piece);
      size += piece.length;
      own.bytes += piece.length;
      this.#held += piece.length;
      if (this.#held <= heldBytes) return;
      this.#release(own);
      pieces.length = 0;
      done(new ApiError(429, "busy", "too many pictures are on their way: try again in a second", { "Retry-After": "1" }));
    });
    file.stream.once("error", (error: unknown) => done(error));
    file.stream.once("end", () => {
      if (!own.over) done(undefined, { buffer: Buffer.concat(pieces), size });
    });
  }

  _removeFile(_req: unknown, file: Express.Multer.File, done: (error: Error | null) => void) {
    file.buffer = Buffer.alloc(0);
    done(null);
  }
}

/** Reads a form's pictures, in fields named `file`, into memory. */
export function uploadPictures(): RequestHandler {
  const { fileBytes, files, fields, fieldBytes } = uploadLimits;
  const limits = { fileSize: fileBytes, files, fields, fieldSize: fieldBytes, parts: files + fields, fieldNameSize: 100, headerPairs: 50 };
  return multer({ storage: new MemoryStorage(), limits }).array("file", files);
}

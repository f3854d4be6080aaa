import type { RequestHandler } from "express";
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

/** A file in memory; the service never writes what was sent to a disk. */
class MemoryStorage implements StorageEngine {
  #held = 0;

  /** Takes a file piece by piece; the request's end gives back what it held. */
  _handleFile(
    req: Parameters<StorageEngine["_handleFile"]>[0],
    file: Express.Multer.File,
    done: (error?: unknown, info?: Partial<Express.Multer.File>) => void,
  ) {
    const pieces: Buffer[] = [];
    let size = 0;
    let over = false;
    const release = () => {
      this.#held -= size;
      size = 0;
      over = true;
    };
    req.res!.once("close", release);
    file.stream.on("data", (piece: Buffer) => {
      if (over) return;
      pieces.push(piece);
      size += piece.length;
      this.#held += piece.length;
      if (this.#held <= heldBytes) return;
      release();
      pieces.length = 0;
      file.stream.resume();
      done(new ApiError(429, "busy", "too many pictures are on their way: try again in a second", { "Retry-After": "1" }));
    });
    file.stream.once("error", (error: unknown) => done(error));
    file.stream.once("end", () => {
      if (!over) done(undefined, { buffer: Buffer.concat(pieces), size });
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

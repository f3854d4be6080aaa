import { createHash } from "node:crypto";
import { closeSync, constants, fstatSync, lstatSync, mkdirSync, openSync, readSync, renameSync, statSync, unlinkSync } from "node:fs";
import path from "node:path";
import { atomicWrite } from "./atomic-write.ts";
import type { Hope } from "./describe-picture.ts";
import { arePredictionsWaiting } from "./waiting-predictions.ts";
import { isUnchanged, type Look, lookOf } from "./settled.ts";

/** The most bytes of one picture. */
export const maxImageBytes = 64 * 1024 * 1024;

/** What became of a file where it was not done as asked: gone, another run's; changed, written to since it was looked at; failed, for a reason of the machine. */
export type Otherwise = { readonly kind: "gone" } | { readonly kind: "changed" } | { readonly kind: "failed"; readonly why: string };
export type Refused = { readonly kind: "refused"; readonly why: string; readonly hope: Hope };

export interface TakeRequest {
  readonly from: string | Buffer;
  /** Where it is ours; one that was taken before stands there already. */
  readonly taken: string;
  readonly isTaken: boolean;
  /** An archive is taken unread. */
  readonly isArchive: boolean;
  /** What it looked like when its writing had ended. */
  readonly look: Look;
  /** The folder that predictions wait in. */
  readonly folder: string;
}
export type TakeResult = Otherwise | Refused | { readonly kind: "taken"; readonly sha256: string; readonly predictions: boolean };

/** Makes a file ours by renaming it, and hashes it. Synchronous, since it has a process of its own: a tenth of the cost. */
export function takeFile({ from, taken, isTaken, isArchive, look, folder }: TakeRequest): TakeResult {
  try {
    // Opened first: what we may not read stays where its user looks for it.
    return withOpen(isTaken ? taken : from, (fd) => {
      if (!isTaken) {
        makeOnce(path.dirname(taken));
        renameSync(from, taken);
      }
      // Another file may have come under the name since it was looked at.
      if (!isUnchanged(look, lookOf(lstatSync(taken)))) return { kind: "changed" };
      if (look.bytes === 0) return { kind: "refused", why: "the file is empty", hope: "soon" };
      if (isArchive) return { kind: "taken", sha256: "", predictions: false };
      if (look.bytes > maxImageBytes)
        return { kind: "refused", why: `the file has ${look.bytes} bytes, and ${maxImageBytes} is the most of a picture`, hope: "never" };
      const sha256 = hashOf(fd, look);
      return sha256 === undefined ? { kind: "changed" } : { kind: "taken", sha256, predictions: arePredictionsWaiting(folder, sha256) };
    });
  } catch (error) {
    return otherwise(error);
  }
}

let lastMade = "";

/** Makes a folder; files of one folder come one after the other. */
function makeOnce(folder: string): void {
  if (folder === lastMade) return;
  mkdirSync(folder, { recursive: true });
  lastMade = folder;
}

export interface FinishRequest {
  readonly taken: string;
  readonly look: Look;
  readonly sha256: string;
  readonly target: string;
  readonly bytes: number;
}
export type FinishResult = Otherwise | { readonly kind: "finished" };

/** Removes a taken file whose picture is known, once the store has its bytes; where they are missing there, they are put back. */
export async function finishFile({ taken, look, sha256, target, bytes }: FinishRequest): Promise<FinishResult> {
  try {
    if (statSync(target, { throwIfNoEntry: false })?.size !== bytes) {
      const data = readWhole(taken, look);
      if (data === undefined || digest("sha256", data) !== sha256) return { kind: "changed" };
      await atomicWrite(target, data, 0o444);
    }
    // Its writer may have had it open all the while.
    if (!isUnchanged(look, lookOf(lstatSync(taken)))) return { kind: "changed" };
    unlinkSync(taken);
    return { kind: "finished" };
  } catch (error) {
    return otherwise(error);
  }
}

export function otherwise(error: unknown): Otherwise {
  const { code, message } = error as NodeJS.ErrnoException;
  if (code === "ENOENT") return { kind: "gone" };
  return { kind: "failed", why: message };
}

export const digest = (algorithm: string, data: Buffer) => createHash(algorithm).update(data).digest("hex");

/** Follows no link, and waits for no writer of a pipe. */
const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

function withOpen<T>(file: string | Buffer, work: (fd: number) => T): T {
  const fd = openSync(file, flags);
  try {
    return work(fd);
  } finally {
    closeSync(fd);
  }
}

const chunkBytes = 1024 * 1024;
let chunk: Buffer | undefined;

/** The SHA-256 of an open file; undefined where it is not, or no longer, the one that was looked at. */
function hashOf(fd: number, look: Look): string | undefined {
  chunk ??= Buffer.allocUnsafeSlow(chunkBytes);
  const hash = createHash("sha256");
  for (let read; (read = readSync(fd, chunk)) > 0;) hash.update(chunk.subarray(0, read));
  return isUnchanged(look, lookOf(fstatSync(fd))) ? hash.digest("hex") : undefined;
}

/** A file's bytes; undefined where it is not, or no longer, the one that was looked at. */
export function readWhole(file: string, look: Look): Buffer | undefined {
  return withOpen(file, (fd) => {
    if (!isUnchanged(look, lookOf(fstatSync(fd)))) return undefined;
    const data = Buffer.allocUnsafeSlow(look.bytes);
    let at = 0;
    for (let read; at < data.length && (read = readSync(fd, data, at, data.length - at, null)) > 0;) at += read;
    return at === data.length && isUnchanged(look, lookOf(fstatSync(fd))) ? data : undefined;
  });
}

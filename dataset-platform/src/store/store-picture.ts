import { statSync } from "node:fs";
import path from "node:path";
import { type Aside, writeAside } from "./atomic-write.ts";
import { describePicture, isTailZero, NotAPicture, type PictureFacts } from "./describe-picture.ts";
import { digest, type Otherwise, otherwise, readWhole, type Refused } from "./picture-file.ts";
import type { Look } from "./settled.ts";

export interface StoreRequest {
  readonly taken: string;
  readonly look: Look;
  readonly sha256: string;
  /** Where in the store a picture of each extension belongs. */
  readonly targets: Readonly<Record<string, string>>;
  /** Whether a picture that is whole, but ends in zeros, is refused: a copy may still put a phone's video there. */
  readonly mayGrow: boolean;
}
export interface StoredPicture {
  readonly kind: "stored";
  readonly facts: PictureFacts;
  /** Its bytes, to be put in place with those of others. */
  readonly aside: Aside;
  readonly md5: string;
  readonly bytes: number;
}
export type StoreResult = Otherwise | Refused | StoredPicture;

/** Decodes a picture and writes its bytes into the store, beside where they belong: exactly those that its name is the hash of, whoever still writes to the file. */
export async function storePicture(request: StoreRequest, beforeDecoding: (pixels: number) => Promise<void>): Promise<StoreResult> {
  try {
    const data = readWhole(request.taken, request.look);
    if (data === undefined || digest("sha256", data) !== request.sha256) return { kind: "changed" };
    const facts = await describePicture(data, beforeDecoding);
    if (request.mayGrow && isTailZero(data)) return { kind: "refused", why: "it ends in zeros, where more may be written", hope: "later" };
    const target = request.targets[facts.extension]!;
    const isThere = statSync(target, { throwIfNoEntry: false })?.size === data.length;
    const aside = isThere ? { target, temporary: undefined, folders: [path.dirname(target)] } : await writeAside(target, data, 0o444);
    return { kind: "stored", facts, aside, md5: digest("md5", data), bytes: data.length };
  } catch (error) {
    if (error instanceof NotAPicture) return { kind: "refused", why: error.message, hope: error.hope };
    return otherwise(error);
  }
}

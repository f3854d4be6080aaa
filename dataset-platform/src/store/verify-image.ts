import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";

/** The SHA-256 of what a file of the store holds, which its name should be; for audits and tests. */
export async function hashOfStored(file: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(file)) hash.update(chunk as Buffer);
  return hash.digest("hex");
}

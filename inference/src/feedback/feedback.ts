import { createHash, randomUUID } from "node:crypto";
import { access, mkdir, open, rename, rm } from "node:fs/promises";
import path from "node:path";
import type { Logger } from "pino";
import type { Found } from "../engine/detector.ts";
import type { Manifest } from "../model/manifest.ts";

/** Which pictures are sent back to be labelled. */
export interface FeedbackOptions {
  /** Where labeling looks for new pictures. */
  readonly folder: string;
  /** The share of unsure pictures that is sent, 0 … 1. */
  readonly share: number;
  /** A picture is unsure where a detection's confidence is below this. */
  readonly below: number;
  /** The most pictures of a day (UTC). */
  readonly perDay: number;
}

/** Sends pictures back whose predictions are unsure, with what was predicted, so that the next labeling run shows the boxes. */
export class Feedback {
  readonly #options: FeedbackOptions;
  readonly #random: () => number;
  #day = "";
  #sent = 0;

  constructor(options: FeedbackOptions, random: () => number = Math.random) {
    this.#options = options;
    this.#random = random;
  }

  /** Whether the picture was sent. One that cannot be written is logged: the client has its answer already. */
  async offer(picture: Buffer, found: Found, manifest: Manifest, log: Logger): Promise<boolean> {
    const { below, share, perDay, folder } = this.#options;
    if (!found.detections.some(({ score }) => score < below) || this.#random() >= share) return false;
    const day = new Date().toISOString().slice(0, 10);
    if (day !== this.#day) [this.#day, this.#sent] = [day, 0];
    if (this.#sent >= perDay) return false;
    this.#sent++;
    try {
      return await send(folder, picture, found, manifest);
    } catch (error) {
      log.error({ err: error }, "a picture could not be sent back for labeling");
      return false;
    }
  }
}

/** False where the picture waits there already. */
async function send(folder: string, picture: Buffer, { detections, width, height }: Found, { name, version, labels }: Manifest): Promise<boolean> {
  const sha256 = createHash("sha256").update(picture).digest("hex");
  const file = path.join(folder, `${sha256}.${extensionOf(picture)}`);
  const isThere = await access(file).then(
    () => true,
    () => false,
  );
  if (isThere) return false;
  const predictions = {
    sha256,
    model: { name, version },
    detections: detections.map(({ cls, score, box: [x1, y1, x2, y2] }) => ({
      name: labels[cls]!,
      confidence: score,
      // Shares of the picture as a person sees it.
      box: [x1 / width, y1 / height, x2 / width, y2 / height],
    })),
  };
  await mkdir(folder, { recursive: true });
  // Hidden, by the picture's hash, and before the picture: whoever takes the picture finds it.
  await writeWhole(path.join(folder, `.${sha256}.predictions.json`), JSON.stringify(predictions));
  await writeWhole(file, picture);
  return true;
}

/** By the first bytes; the picture has been decoded, so it is one of the three. */
function extensionOf(picture: Buffer): string {
  if (picture[0] === 0xff) return "jpg";
  return picture[0] === 0x89 ? "png" : "webp";
}

/** Under a hidden name first, which labeling does not look at. */
async function writeWhole(file: string, data: string | Uint8Array): Promise<void> {
  const temporary = path.join(path.dirname(file), `.${randomUUID()}.tmp`);
  try {
    const handle = await open(temporary, "wx");
    try {
      await handle.writeFile(data);
      await handle.datasync();
    } finally {
      await handle.close();
    }
    await rename(temporary, file);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}

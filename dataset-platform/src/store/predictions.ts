import { readFile, rm } from "node:fs/promises";
import path from "node:path";
import { z } from "zod";
import { atomicWrite } from "./atomic-write.ts";
import type { StorageLayout } from "./layout.ts";

const share = z.number().min(0).max(1);

/** What a model saw in a picture, as the inference service leaves it beside the picture in `incoming/`. */
const predictionsSchema = z.object({
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
  model: z.object({ name: z.string(), version: z.string() }),
  detections: z
    .array(
      z.object({
        name: z.string(),
        confidence: share,
        /** Left, top, right, bottom as shares of the picture as a person sees it. */
        box: z.tuple([share, share, share, share]),
      }),
    )
    .max(1000),
});

export type Predictions = z.infer<typeof predictionsSchema>;

/** The file in `incoming/`: hidden, so that it is no picture, and named for the picture's bytes. */
const waitingFile = (folder: string, sha256: string) => path.join(folder, `.${sha256}.predictions.json`);
const keptFile = (storage: StorageLayout, sha256: string) => path.join(storage.predictions, `${sha256}.json`);

/** Keeps the predictions that wait beside a picture, if there are any that can be read. */
export async function takePredictions(folder: string, storage: StorageLayout, sha256: string): Promise<void> {
  const predictions = await tryRead(waitingFile(folder, sha256));
  if (predictions?.sha256 === sha256) await atomicWrite(keptFile(storage, sha256), JSON.stringify(predictions));
}

/** Removes what waits beside a picture, once it is kept. */
export async function dropPredictions(folder: string, sha256: string): Promise<void> {
  await rm(waitingFile(folder, sha256), { force: true });
}

/** What a model saw in an image; undefined where none was asked. */
export async function tryReadPredictions(storage: StorageLayout, sha256: string): Promise<Predictions | undefined> {
  return tryRead(keptFile(storage, sha256));
}

/** Predictions only spare work: those that cannot be read are passed over. */
async function tryRead(file: string): Promise<Predictions | undefined> {
  const text = await readFile(file, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return undefined;
    throw error;
  });
  if (text === undefined) return undefined;
  try {
    return predictionsSchema.parse(JSON.parse(text));
  } catch {
    return undefined;
  }
}

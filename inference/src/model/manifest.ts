import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import path from "node:path";
import { z } from "zod";

/** What stands in `model/manifest.json`, which is written after the files it names. */
export const manifestSchema = z.object({
  name: z.string().min(1),
  version: z.string().min(1),
  /** The ONNX file, in the manifest's folder. */
  file: z.string().regex(/^[\w.-]+$/),
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
  labels: z.array(z.string()).min(1).max(10_000),
  /** Side of the model's square input, pixels. */
  imgsz: z.number().int().min(32).max(4096),
  runId: z.string(),
  datasetCommit: z.string(),
  metrics: z.record(z.string(), z.number()),
  createdAt: z.string(),
});

export type Manifest = z.infer<typeof manifestSchema>;

/** A model file may have this many bytes. */
const maxModelBytes = 2 * 1024 ** 3;

/** The manifest of a model folder; undefined where there is none; throws where it is not one. */
export async function tryReadManifest(folder: string): Promise<Manifest | undefined> {
  const file = path.join(folder, "manifest.json");
  const text = await readFile(file, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return undefined;
    throw error;
  });
  if (text === undefined) return undefined;
  const result = manifestSchema.safeParse(tryParse(text));
  if (!result.success) throw new Error(`${file} is not a model manifest: ${z.prettifyError(result.error)}`);
  return result.data;
}

function tryParse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** The model's bytes, once they have the manifest's hash. */
export async function readModel(folder: string, { file, sha256 }: Manifest): Promise<Buffer> {
  const data = await readFile(path.join(folder, file));
  if (data.length > maxModelBytes) throw new Error(`${file} has ${data.length} bytes, and ${maxModelBytes} is the most`);
  const actual = createHash("sha256").update(data).digest("hex");
  if (actual !== sha256) throw new Error(`${file} has SHA-256 ${actual}, and its manifest says ${sha256}: it was changed, or is being replaced`);
  return data;
}

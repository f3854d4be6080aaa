import { createHash } from "node:crypto";
import { open, readdir, readFile } from "node:fs/promises";
import path from "node:path";
import { z } from "zod";

/** A file beside the manifest: no path leads out of its folder. */
const fileName = z.string().regex(/^\w[\w.-]*$/);

/** What stands in `model/manifest.json`, which is written after the files it names. */
export const manifestSchema = z.object({
  name: z.string().min(1),
  version: z.string().min(1),
  /** The ONNX file, in the manifest's folder. */
  file: fileName,
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
  labels: z.array(z.string()).min(1).max(10_000),
  /** Side of the model's square input, pixels. */
  imgsz: z.number().int().min(32).max(4096),
  runId: z.string(),
  datasetCommit: z.string(),
  /** The pipeline run that published it. */
  airflow: z.object({ dagId: z.string(), runId: z.string() }).optional(),
  metrics: z.record(z.string(), z.number()),
  createdAt: z.string(),
  /** A picture in the manifest's folder, and what the model finds in it: tried before the model serves. */
  canary: z
    .object({
      file: fileName,
      detections: z.array(
        z.object({ name: z.string(), confidence: z.number(), box: z.object({ x1: z.number(), y1: z.number(), x2: z.number(), y2: z.number() }) }),
      ),
    })
    .optional(),
});

export type Manifest = z.infer<typeof manifestSchema>;

/** A model file may have this many bytes, and a canary picture this many. */
const maxModelBytes = 2 * 1024 ** 3;
const maxCanaryBytes = 32 * 1024 ** 2;

/** Where the models that were published before are kept, one folder each, under `model/`. */
export const versionsFolder = "versions";

/** A model as people name it. */
export const specOf = ({ name, version }: Pick<Manifest, "name" | "version">): string => `${name}@${version}`;

/** The folder of a version beneath `model/`. Names of models may have any characters; those of folders here do not. */
export function versionFolder({ name, version }: Pick<Manifest, "name" | "version">): string {
  return path.join(versionsFolder, `${encodeURIComponent(name)}@${encodeURIComponent(version)}`);
}

/** A version's folder while it is removed: half of it may be gone already. */
const leavingName = /^\.[0-9a-f-]{36}\.tmp$/;

/** The manifests of the versions that are kept, newest first; folders without a readable one are passed over. */
export async function listVersions(folder: string): Promise<Manifest[]> {
  const names = await readdir(path.join(folder, versionsFolder)).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return [];
    throw error;
  });
  const kept = names.filter((name) => !leavingName.test(name));
  const manifests = await Promise.all(kept.map((name) => tryReadManifest(path.join(folder, versionsFolder, name)).catch(() => undefined)));
  return manifests.filter((manifest) => manifest !== undefined).toSorted((a, b) => b.createdAt.localeCompare(a.createdAt));
}

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
async function readModel(folder: string, { file, sha256 }: Manifest): Promise<Buffer> {
  const hash = createHash("sha256");
  const data = await readAtMost(path.join(folder, file), maxModelBytes, (chunk) => hash.update(chunk));
  const actual = hash.digest("hex");
  if (actual !== sha256) throw new Error(`${file} has SHA-256 ${actual}, and its manifest says ${sha256}: it was changed, or is being replaced`);
  return data;
}

/** The canary picture's bytes; undefined where there is none. */
async function readCanary(folder: string, { canary }: Manifest): Promise<Buffer | undefined> {
  return canary && readAtMost(path.join(folder, canary.file), maxCanaryBytes);
}

export interface ModelFiles {
  readonly onnx: Buffer;
  readonly canary: Buffer | undefined;
}

/**
 * The files that a manifest in `model/` or beneath it names. The version's own folder, whose files never change, comes first:
 * those beside `model/manifest.json` may be the next model's, where a publication is under way or was cut off. Models that
 * were put into `model/` by hand have no such folder.
 */
export async function readModelFiles(modelFolder: string, manifest: Manifest): Promise<ModelFiles> {
  const read = async (folder: string) => ({ onnx: await readModel(folder, manifest), canary: await readCanary(folder, manifest) });
  return read(path.join(modelFolder, versionFolder(manifest))).catch(async () => read(modelFolder));
}

/** Bytes that are read at once: little enough that requests are answered in between. */
const chunkBytes = 1 << 20;

async function readAtMost(file: string, most: number, onChunk: (chunk: Buffer) => void = () => undefined): Promise<Buffer> {
  const handle = await open(file);
  try {
    const { size } = await handle.stat();
    if (size > most) throw new Error(`${file} has ${size} bytes, and ${most} is the most`);
    const data = Buffer.allocUnsafeSlow(size);
    for (let at = 0; at < size;) {
      const { bytesRead } = await handle.read(data, at, Math.min(chunkBytes, size - at));
      if (bytesRead === 0) throw new Error(`${file} became shorter while it was read`);
      onChunk(data.subarray(at, at + bytesRead));
      at += bytesRead;
    }
    return data;
  } finally {
    await handle.close();
  }
}

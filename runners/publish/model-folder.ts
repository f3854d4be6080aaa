import { copyFile, link, readdir, readFile, rename, rm } from "node:fs/promises";
import path from "node:path";
import { listVersions, type Manifest, manifestSchema, specOf, tryReadManifest, versionFolder, versionsFolder } from "@airloom/inference/model/manifest.ts";
import { atomicWrite, syncFolder } from "@airloom/dataset-platform/store/atomic-write.ts";
import { keepNewest } from "@airloom/dataset-platform/store/keep-newest.ts";
import { makeFolders } from "@airloom/dataset-platform/store/make-folder.ts";

// model/ holds the model that serves; model/versions/ holds the last ones that did, for roll-backs and for clients that name one.

/** Versions that stay in the folder. */
const keptVersions = 5;

const manifestFile = "manifest.json";

/** Keeps a version and makes it the one that serves: files first, manifests last. Done again, it changes nothing. */
export async function publishVersion(model: string, manifest: Manifest, files: ReadonlyMap<string, Uint8Array>): Promise<void> {
  const folder = path.join(model, versionFolder(manifest));
  for (const [name, data] of files) await atomicWrite(path.join(folder, name), data);
  await atomicWrite(path.join(folder, manifestFile), textOf(manifest));
  await serveVersion(model, manifest);
  await keepNewest(path.join(model, versionsFolder), keptVersions);
}

const textOf = (manifest: Manifest) => `${JSON.stringify(manifestSchema.parse(manifest), null, 2)}\n`;

/** Puts a version that is kept where the service looks. */
export async function serveVersion(model: string, manifest: Manifest): Promise<void> {
  const folder = path.join(model, versionFolder(manifest));
  await makeFolders(model);
  const names = (await readdir(folder)).filter((name) => name !== manifestFile && !name.startsWith("."));
  for (const name of names) await replaceBy(path.join(model, name), path.join(folder, name));
  await syncFolder(model);
  await atomicWrite(path.join(model, manifestFile), textOf(manifest));
}

/** Links a file to another place, where a reader meets the old one or the new one; copies it where links are not to be had. */
async function replaceBy(file: string, source: string): Promise<void> {
  const temporary = path.join(path.dirname(file), `.${path.basename(file)}.${process.pid}.tmp`);
  await rm(temporary, { force: true });
  await link(source, temporary).catch(() => copyFile(source, temporary));
  await rename(temporary, file);
  // Renaming one link of a file onto another does nothing, and leaves both.
  await rm(temporary, { force: true });
}

/** The version to go back to: the one that is named, or the newest that was published before the one that serves. */
export async function findRollback(model: string, spec: string | undefined): Promise<Manifest> {
  const current = await tryReadManifest(model);
  const versions = await listVersions(model);
  const known = versions.map(specOf).join(", ") || "none";
  if (spec !== undefined) {
    const named = versions.find((manifest) => specOf(manifest) === spec || manifest.version === spec);
    if (!named) throw new Error(`there is no version ${JSON.stringify(spec)} in ${path.join(model, versionsFolder)}; there are: ${known}`);
    return named;
  }
  if (!current) throw new Error(`no model serves from ${model}: name the version that should; there are: ${known}`);
  const before = versions.find((manifest) => manifest.createdAt < current.createdAt);
  if (!before) throw new Error(`no version in ${path.join(model, versionsFolder)} is older than ${specOf(current)}, which serves; there are: ${known}`);
  return before;
}

/** The bytes of a picture under the name that the manifest gives a canary. */
export async function canaryFile(image: string): Promise<{ name: string; data: Buffer }> {
  return { name: `canary${path.extname(image)}`, data: await readFile(image) };
}

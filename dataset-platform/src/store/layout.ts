import path from "node:path";

/** Where everything of a storage folder stands. */
export interface StorageLayout {
  readonly root: string;
  /** Images and their annotations; what DVC versions. */
  readonly images: string;
  /** One class name a line; the line number, from 0, is the class in label files. Versioned in Git. */
  readonly classes: string;
  /** What is not versioned: the registry, locks, exported versions. */
  readonly private: string;
  readonly registry: string;
}

export function storageLayout(root: string): StorageLayout {
  const full = path.resolve(root);
  const hidden = path.join(full, ".airloom");
  return {
    root: full,
    images: path.join(full, "images"),
    classes: path.join(full, "classes.txt"),
    private: hidden,
    registry: path.join(hidden, "registry.db"),
  };
}

const shaPattern = /^[0-9a-f]{64}$/;

/** Where an image's bytes are, relative to the images folder: "ab/cd/<sha256>.<ext>". */
export function imagePath(sha256: string, extension: string): string {
  if (!shaPattern.test(sha256)) throw new RangeError(`"${sha256}" is not a SHA-256`);
  return path.join(sha256.slice(0, 2), sha256.slice(2, 4), `${sha256}.${extension}`);
}

/** Where an image's annotations are, relative to the images folder; there is none before it was labelled. */
export const labelPath = (sha256: string): string => imagePath(sha256, "txt");

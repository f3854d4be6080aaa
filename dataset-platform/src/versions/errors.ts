/** No branch, tag or commit of this name holds a dataset. */
export class NoSuchVersion extends Error {
  override readonly name = "NoSuchVersion";
}

/** A version, or what was asked of it, holds too little to be used. */
export class EmptyVersion extends Error {
  override readonly name = "EmptyVersion";
}

/** Files of a version are neither in the cache nor on the remote, or are damaged in both. */
export class MissingObjects extends Error {
  override readonly name = "MissingObjects";
}

/** Pictures that the registry knows are not in the storage folder as it knows them. */
export class MissingFiles extends Error {
  override readonly name = "MissingFiles";
}

/** The branch holds labelled pictures that the registry has never heard of. */
export class UnknownPictures extends Error {
  override readonly name = "UnknownPictures";
}

/** A class was named that the version does not have. */
export class UnknownClass extends Error {
  override readonly name = "UnknownClass";
}

/** The repository is on no branch, or a hook of it has refused the commit. */
export class CommitRefused extends Error {
  override readonly name = "CommitRefused";
}

/** DVC's remote cannot be reached, or does not take or give what it should. */
export class RemoteFailed extends Error {
  override readonly name = "RemoteFailed";
}

/** "a, b, c and 4 more": as many names as a message can bear. */
export function firstTen(names: readonly string[], total = names.length): string {
  const shown = names.slice(0, 10).join(", ");
  return total > 10 ? `${shown} and ${total - 10} more` : shown;
}

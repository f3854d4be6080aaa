/** An archive that breaks a bound, is damaged, or holds what does not belong in one. Nothing is taken from it. */
export class BadArchive extends Error {
  override readonly name = "BadArchive";
  /** Whether it may be whole once its copy has ended. */
  readonly mayBeCut: boolean;
  constructor(why: string, { mayBeCut = false, ...options }: ErrorOptions & { mayBeCut?: boolean } = {}) {
    super(why, options);
    this.mayBeCut = mayBeCut;
  }
}

/** What the readers of zip and tar give their entries to. */
export interface Unpacking {
  /** Counts an entry and checks its path. */
  begin(name: string): void;
  /** Writes a file that is wanted; the others are passed over. */
  write(name: string, content: AsyncIterable<Buffer>): Promise<void>;
  isWanted(name: string): boolean;
}

/**
 * The error to throw for one that came up while an archive was read: the system's own, a full disk say, and ours stay what
 * they are; for the rest the archive's bytes are to blame.
 */
export function asBadArchive(error: unknown): unknown {
  const { message, name, syscall } = error as NodeJS.ErrnoException;
  if (error instanceof BadArchive || name === "AbortError" || syscall !== undefined) return error;
  return new BadArchive(`it cannot be unpacked: ${message}`, { cause: error, mayBeCut: true });
}

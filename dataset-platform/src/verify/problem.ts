/** One thing that is not as the rules say. */
export interface Problem {
  /** The rule that is broken, by its name in docs/dataset.md. */
  readonly rule: Rule;
  /** The picture, batch, class or commit. */
  readonly subject: string;
  readonly what: string;
}

/** Every rule, and how what breaks it is mended. */
export const rules = {
  "claims-are-open": "npx airloom data release BATCH",
  "newest-annotation": "restore the registry from a dump",
  "classes-are-dense": "restore the registry from a dump",
  "boxes-were-asked": "npx airloom data relabel SHA256",
  "labels-match-boxes": "restore the registry from a dump",
  "groups-have-a-founder": "restore the registry from a dump",
  "versions-match-rows": "trigger labeling_pipeline: the next commit writes what is missing",
  "no-version-half-written": "trigger labeling_pipeline: the next commit ends it",
  "bytes-of-every-row": "npx airloom data rebuild brings them from DVC's cache or remote",
  "row-of-all-bytes": "move the file to incoming/ to have it taken in, or remove it",
  "bytes-are-whole": "npx airloom data rebuild brings them from DVC's cache or remote",
  "label-files-match": "npx airloom data rebuild writes them from the registry",
  "commits-are-kept": "git branch NAME COMMIT in the storage folder, or take the folder's .git from a backup",
  "nothing-half-written": "npx airloom data rebuild removes it",
  "nothing-half-taken": "trigger labeling_pipeline: the next ingest takes it in",
  "objects-are-whole": "npx airloom data rebuild --deep makes them from the storage folder, the rows or the remote",
} as const;

export type Rule = keyof typeof rules;

import type { Db } from "../registry/database.ts";
import type { StorageLayout } from "../store/layout.ts";
import type { DataRepository } from "../versions/data-repository.ts";
import { problemsOfFiles } from "./files.ts";
import { problemsOfHalfWritten } from "./half-written.ts";
import { problemsOfIncoming } from "./incoming.ts";
import type { Problem } from "./problem.ts";
import { problemsOfRows } from "./rows.ts";

export interface DatasetPlace {
  readonly db: Db;
  readonly storage: StorageLayout;
  readonly incoming: string;
  readonly repository: DataRepository;
}

/**
 * All that breaks a rule of the dataset. What runs at the same time may show as a problem that is gone a moment later. `deep`
 * reads every byte, and looks at all versions, where otherwise sizes are compared and the newest is looked at.
 */
export async function* problemsOfDataset({ db, storage, incoming, repository }: DatasetPlace, { deep }: { readonly deep: boolean }): AsyncGenerator<Problem> {
  yield* problemsOfRows(db);
  yield* problemsOfFiles(db, storage, { deep });
  yield* problemsOfHalfWritten(storage);
  yield* repository.problems(db, { deep });
  yield* await problemsOfIncoming(db, incoming);
}

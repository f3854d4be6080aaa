import { readdir } from "node:fs/promises";
import path from "node:path";
import type { Db } from "../registry/database.ts";
import { withHeldNames } from "../registry/held-names.ts";
import { isSourceId } from "../store/incoming-files.ts";
import { leftInTaking } from "../store/taking.ts";
import type { Problem } from "./problem.ts";

/** Files that a run of ingest had made its own when it ended, and that no other has taken up yet. */
export async function problemsOfIncoming(db: Db, incoming: string): Promise<Problem[]> {
  const entries = await readdir(incoming, { withFileTypes: true }).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return [];
    throw error;
  });
  const own = entries
    .filter((entry) => entry.isDirectory() && isSourceId(entry.name))
    .map(({ name }) => ({ folder: path.join(incoming, name), prefix: `${name}/` }));
  return withHeldNames(db, async (names) => {
    const problems: Problem[] = [];
    for (const place of [{ folder: incoming, prefix: "" }, ...own])
      for (const file of await leftInTaking(place, names))
        problems.push({ rule: "nothing-half-taken", subject: file, what: "was taken by a run of ingest that has ended" });
    return problems;
  });
}

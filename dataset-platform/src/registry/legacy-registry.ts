import path from "node:path";
import { execa, ExecaError } from "execa";
import { z } from "zod";

const rowsSchema = z.object({
  images: z.array(
    z.object({
      sha256: z.string(),
      source_id: z.string(),
      original_name: z.string(),
      ingested_at: z.string(),
      batch_id: z.string().nullable(),
      labelled_at: z.string().nullable(),
    }),
  ),
  batches: z.array(z.object({ id: z.string(), run_id: z.string(), source_id: z.string(), created_at: z.string(), cvat_task_id: z.number().nullable() })),
});

/** What the SQLite registry of Airloom before 0.2 held that files do not tell. */
export type LegacyRows = z.infer<typeof rowsSchema>;

/** Python brings SQLite along; Node 20 does not. */
const program = `
import json, sqlite3, sys
db = sqlite3.connect(f"file:{sys.argv[1]}?mode=ro", uri=True)
db.row_factory = sqlite3.Row
read = lambda query: [dict(row) for row in db.execute(query)]
json.dump({
    "images": read("select sha256, source_id, original_name, ingested_at, batch_id, labelled_at from images"),
    "batches": read("select id, run_id, source_id, created_at, cvat_task_id from batches"),
}, sys.stdout)
`;

/** The rows of a `registry.db`. `python` is any Python 3. */
export async function readLegacyRegistry(file: string, python: string): Promise<LegacyRows> {
  try {
    // The path goes into a URI: what means something there is escaped.
    const { stdout } = await execa(python, ["-c", program, path.resolve(file).replaceAll(/[?#%]/g, encodeURIComponent)], { maxBuffer: 2 ** 31 });
    return rowsSchema.parse(JSON.parse(stdout));
  } catch (cause) {
    const said = cause instanceof ExecaError ? (cause.stderr ?? cause.shortMessage).slice(-1000) : String(cause);
    throw new Error(`the earlier registry ${file} cannot be taken over: ${said}`, { cause });
  }
}

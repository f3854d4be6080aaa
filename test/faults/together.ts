// Several processes that take in, claim, pull and commit at once in one place, and what must hold afterwards.
import { mkdir, mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { execa } from "execa";
import { sql } from "kysely";
import { openDatabase } from "@airloom/dataset-platform/registry/database.ts";
import { newDatabase } from "../database.ts";
import { bundlePrograms } from "./bundle.ts";
import { outcomeOf } from "./outcome.ts";

export interface TogetherReport {
  readonly pictures: number;
  readonly batches: number;
  readonly versions: number;
  /** What is not as it must be. */
  readonly wrong: readonly string[];
}

/** Each row is something wrong: a picture that is not labelled exactly once, a batch that is not whole in one version. */
const questions = [
  `select 'picture ' || i.sha256 || ' is ' || i.state || ' with ' || count(a.id) || ' annotations' as wrong
    from images i left join annotations a using (sha256) group by i.sha256 having i.state <> 'labelled' or count(a.id) <> 1`,
  `select 'picture ' || sha256 || ' is in ' || count(*) || ' batches' as wrong from batch_images group by sha256 having count(*) <> 1`,
  `select 'picture ' || i.sha256 || ' is in ' || count(c.version_id) || ' versions'' changes' as wrong
    from images i left join version_changes c using (sha256) group by i.sha256 having count(c.version_id) <> 1`,
  `select 'batch ' || batch_id || ' is spread over ' || count(distinct version_id) || ' versions' as wrong
    from batch_images left join version_changes using (sha256) group by batch_id having count(distinct version_id) <> 1`,
  `select 'picture ' || subject || ' was added ' || count(*) || ' times' as wrong from events where kind = 'image.added' group by subject having count(*) <> 1`,
];

/** Lets `processes` work for `seconds`, one more end what is left, and looks. */
export async function workTogether({ processes, seconds }: { readonly processes: number; readonly seconds: number }): Promise<TogetherReport> {
  const folder = await mkdtemp(path.join(tmpdir(), "together-"));
  const database = await newDatabase();
  try {
    await bundlePrograms(folder);
    const place = path.join(folder, "place");
    await mkdir(path.join(place, "incoming"), { recursive: true });
    const start = (env: Record<string, string>) =>
      execa(process.execPath, [path.join(folder, "together.mjs")], {
        env: { FAULTS_DATABASE_URL: database.url, FAULTS_FOLDER: place, ...env },
        all: true,
        reject: false,
      });
    const ended = await Promise.all(Array.from({ length: processes }, (_, i) => start({ FAULTS_WHO: `p${i}`, FAULTS_SECONDS: String(seconds) })));
    ended.push(await start({}));
    const wrong = ended.filter(({ exitCode }) => exitCode !== 0).map(({ all, exitCode }) => `a process ended with ${exitCode}: ${all}`);
    const outcome = await outcomeOf(database.url, place);
    wrong.push(...outcome.problems, ...outcome.git.slice(1).filter((line) => line !== ""));
    const left = (await readdir(path.join(place, "incoming"), { recursive: true, withFileTypes: true })).filter((entry) => entry.isFile());
    wrong.push(...left.map(({ name }) => `${name} is still in incoming/`));
    const db = openDatabase(database.url);
    try {
      for (const question of questions) wrong.push(...(await sql.raw<{ wrong: string }>(question).execute(db)).rows.map((row) => row.wrong));
    } finally {
      await db.destroy();
    }
    const countOf = (kind: string) => outcome.rows.filter((row) => row.startsWith(`${kind} `)).length;
    return { pictures: countOf("image"), batches: countOf("batch"), versions: countOf("version"), wrong };
  } finally {
    await database.drop();
    await rm(folder, { recursive: true, force: true });
  }
}

// Several processes that take in, claim, pull and commit at once in one place, beside a database that may fail, and what must
// hold afterwards.
import { mkdir, mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { execa } from "execa";
import { sql } from "kysely";
import { openDatabase } from "@airloom/dataset-platform/registry/database.ts";
import { newDatabase } from "../database.ts";
import { bundlePrograms } from "./bundle.ts";
import { type FailingDatabase, startFailingDatabase } from "./failing-database.ts";
import { outcomeOf } from "./outcome.ts";

/** The server ends and starts again; connections to it are cut. */
export const databaseFaults = ["restart", "cut"] as const;
export type DatabaseFault = (typeof databaseFaults)[number];

/** How long the database is left alone after each. */
const pausesMs: Readonly<Record<DatabaseFault, number>> = { restart: 4000, cut: 700 };

interface TogetherOptions {
  readonly processes: number;
  readonly seconds: number;
  readonly fault?: DatabaseFault;
}

export interface TogetherReport {
  readonly pictures: number;
  readonly batches: number;
  readonly versions: number;
  /** How often the database failed. */
  readonly faults: number;
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
export async function workTogether({ processes, seconds, fault }: TogetherOptions): Promise<TogetherReport> {
  const folder = await mkdtemp(path.join(tmpdir(), "together-"));
  const database = fault ? await startFailingDatabase() : await ownDatabase();
  try {
    await bundlePrograms(folder);
    const place = path.join(folder, "place");
    await mkdir(path.join(place, "incoming"), { recursive: true });
    const start = (env: Record<string, string>, url = database.url) =>
      execa(process.execPath, [path.join(folder, "together.mjs")], {
        env: { FAULTS_DATABASE_URL: url, FAULTS_FOLDER: place, ...env },
        all: true,
        reject: false,
      });
    const wrong: string[] = [];
    const deadline = Date.now() + seconds * 1000;
    // As Airflow does, and as people do: what has failed is begun again, in a new run.
    const keepWorking = async (who: string) => {
      for (let life = 0; ; life++) {
        const left = Math.max(0, deadline - Date.now()) / 1000;
        const { exitCode, all } = await start({ FAULTS_WHO: `${who}.${life}`, FAULTS_SECONDS: String(left) });
        if (exitCode === 0) return;
        if (!fault || !/ConnectionLost/.test(all)) wrong.push(`a process ended with ${exitCode}: ${all}`);
        if (left === 0) return;
      }
    };
    const disturbed = disturb(database, fault, deadline);
    await Promise.all(Array.from({ length: processes }, (_, i) => keepWorking(`p${i}`)));
    const faults = await disturbed;
    const last = await start({ FAULTS_WHO: "last", FAULTS_SECONDS: "0" }, database.safeUrl);
    if (last.exitCode !== 0) wrong.push(`the last process ended with ${last.exitCode}: ${last.all}`);
    const outcome = await outcomeOf(database.safeUrl, place);
    wrong.push(...outcome.problems, ...outcome.git.slice(1).filter((line) => line !== ""));
    const left = (await readdir(path.join(place, "incoming"), { recursive: true, withFileTypes: true })).filter((entry) => entry.isFile());
    wrong.push(...left.map(({ name }) => `${name} is still in incoming/`));
    const db = openDatabase(database.safeUrl);
    try {
      for (const question of questions) wrong.push(...(await sql.raw<{ wrong: string }>(question).execute(db)).rows.map((row) => row.wrong));
    } finally {
      await db.destroy();
    }
    const countOf = (kind: string) => outcome.rows.filter((row) => row.startsWith(`${kind} `)).length;
    return { pictures: countOf("image"), batches: countOf("batch"), versions: countOf("version"), faults, wrong };
  } finally {
    await database.stop();
    await rm(folder, { recursive: true, force: true });
  }
}

async function ownDatabase(): Promise<FailingDatabase> {
  const { url, drop } = await newDatabase();
  const never = () => {
    throw new Error("this database is shared with other tests");
  };
  return { url, safeUrl: url, restart: never, cut: never, stop: drop };
}

/** Makes the database fail again and again until the deadline; how often it did. */
async function disturb(database: FailingDatabase, fault: DatabaseFault | undefined, deadline: number): Promise<number> {
  let times = 0;
  if (fault === undefined) return times;
  for (; Date.now() < deadline; times++) {
    await new Promise((resolve) => setTimeout(resolve, pausesMs[fault] * (0.5 + Math.random())));
    await database[fault]();
  }
  return times;
}

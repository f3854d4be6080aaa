// What a step leaves behind, without what differs between two good runs: times, ids, names of temporary files.
import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import path from "node:path";
import { readModelFiles, tryReadManifest } from "@airloom/inference/model/manifest.ts";
import { execa } from "execa";
import { sql } from "kysely";
import { openDatabase } from "@airloom/dataset-platform/registry/database.ts";
import { storageLayout } from "@airloom/dataset-platform/store/layout.ts";
import { problemsOfDataset } from "@airloom/dataset-platform/verify/dataset.ts";
import { DataRepository } from "@airloom/dataset-platform/versions/data-repository.ts";

export interface Outcome {
  /** What the registry says, a line each. */
  readonly rows: readonly string[];
  /** Every file that lasts, with its hash. */
  readonly files: readonly string[];
  /** The repository: its tree, how many commits it has, what is undone. */
  readonly git: readonly string[];
  /** Rules that are broken. */
  readonly problems: readonly string[];
  /** Temporary files: they do no harm, and are told of. */
  readonly leftovers: readonly string[];
}

const questions = {
  image: `select i.sha256, i.md5, i.extension, i.bytes, i.width, i.height, i.source_id, i.original_name, i.group_id, i.state, i.state_why, i.batch_id,
    i.excluded_by_batch, newest.revision as newest, shown.revision as shown, committed.revision as committed, i.uncommitted
    from images i left join annotations newest on newest.id = i.annotation_id left join annotations shown on shown.id = i.visible_annotation_id
    left join annotations committed on committed.id = i.committed_annotation_id`,
  annotation: `select sha256, revision, batch_id, asked, annotator, cvat_task_id, cvat_job_id, origin, label_md5, label_bytes,
    (select array_agg(row(position, class_id, cx, cy, w, h, how)::text order by position) from boxes where annotation_id = id) as boxes from annotations`,
  batch: `select id, run_id, generation, state, asked, cvat_task_id, (select count(*) from batch_images where batch_id = id) as images from batches`,
  class: "select id, name from classes",
  version: `select row_number() over (order by id) as n, state, message, images, pushed_to, pushed_at is not null as pushed,
    (select array_agg(c.sha256 || ' ' || coalesce(a.revision::text, '-') order by c.sha256) from version_changes c left join annotations a on a.id = c.annotation_id
      where version_id = versions.id) as changes from versions`,
  model: "select name, version, published_at is not null as published from models",
  event: `select kind, case when kind like 'version.%' then '' else subject end as subject, count(*)::int as times from events group by 1, 2`,
};

/** Waits until nobody else uses the database, as it is soon after a kill, and tells what is there. */
export async function outcomeOf(url: string, folder: string): Promise<Outcome> {
  const db = openDatabase(url);
  try {
    const storage = storageLayout(path.join(folder, "storage"));
    const rows: string[] = [];
    for (const [name, question] of Object.entries(questions)) {
      const found = await sql.raw<{ line: string }>(`select to_jsonb(q)::text as line from (${question}) q order by 1`).execute(db);
      rows.push(...found.rows.map(({ line }) => `${name} ${line}`));
    }
    const problems: string[] = [];
    const repository = new DataRepository({ storage, remoteUrl: path.join(storage.root, ".remote"), dvc: "dvc" });
    const place = { db, storage, incoming: path.join(folder, "incoming"), repository };
    for await (const { rule, subject, what } of problemsOfDataset(place, { deep: true })) problems.push(`${rule}: ${subject} ${what}`);
    const { files, leftovers } = await filesOf(folder);
    return { rows, files, git: await gitOf(storage.root, files), problems: [...problems, ...(await modelProblems(folder))], leftovers };
  } finally {
    await db.destroy();
  }
}

const isTemporary = (name: string) => /(^|\/)\.[^/]*\.tmp(\/|$)|\.lock$|(^|\/)tmp_obj_|(^|\/)tmp\//.test(name);

async function filesOf(folder: string): Promise<{ files: string[]; leftovers: string[] }> {
  const files: string[] = [];
  const leftovers: string[] = [];
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    if (entry.isDirectory()) continue;
    const file = path.join(entry.parentPath, entry.name);
    const name = path.relative(folder, file);
    if (isTemporary(name)) leftovers.push(name);
    // What Git holds is asked of Git.
    else if (!name.startsWith("storage/.git/"))
      files.push(
        `${name} ${createHash("sha1")
          .update(await readFile(file))
          .digest("hex")}`,
      );
  }
  return { files: files.toSorted(), leftovers: leftovers.toSorted() };
}

/** The commits, newest first, and what is not whole: Git's own check, and every object that a commit names missing on the remote. */
async function gitOf(root: string, files: readonly string[]): Promise<string[]> {
  if (!files.some((line) => line.startsWith("storage/images.dvc "))) return [];
  const git = async (...args: string[]) => (await execa("git", ["--no-optional-locks", ...args], { cwd: root, reject: false, all: true })).all;
  const pointers = await git("show", "HEAD:images.dvc");
  const there = new Set(files.map((line) => line.split(" ")[0]));
  const lacking: string[] = [];
  for (const [, oid] of pointers.matchAll(/md5: (\w{32}\.dir)/g))
    for (const one of [
      oid!,
      ...(JSON.parse(await readFile(path.join(root, ".dvc/cache/files/md5", oid!.slice(0, 2), oid!.slice(2)), "utf8")) as { md5: string }[]).map(
        ({ md5 }) => md5,
      ),
    ])
      if (!there.has(`storage/.remote/files/md5/${one.slice(0, 2)}/${one.slice(2)}`)) lacking.push(`the remote lacks ${one}`);
  return [await git("log", "--format=%T %s"), await git("status", "--porcelain"), await git("fsck", "--strict", "--no-dangling", "--no-progress"), ...lacking];
}

/** Why the inference service could not read a model now, whose publication may have been cut off. */
export async function problemsOfServing(folder: string): Promise<string[]> {
  const model = path.join(folder, "model");
  try {
    const manifest = await tryReadManifest(model);
    if (manifest) await readModelFiles(model, manifest);
    return [];
  } catch (error) {
    return [`the service could not read its model: ${(error as Error).message}`];
  }
}

/** A model folder, and each of the versions in it, whose manifest names other bytes than lie beside it. */
async function modelProblems(folder: string): Promise<string[]> {
  const model = path.join(folder, "model");
  const versions = (await readdir(path.join(model, "versions")).catch(() => [])).map((name) => path.join(model, "versions", name));
  const problems: string[] = [];
  for (const place of versions.length > 0 ? [model, ...versions] : []) {
    try {
      const { file, sha256 } = JSON.parse(await readFile(path.join(place, "manifest.json"), "utf8")) as { file: string; sha256: string };
      const found = createHash("sha256")
        .update(await readFile(path.join(place, file)))
        .digest("hex");
      if (found !== sha256) problems.push(`${path.relative(folder, place)}: ${file} has SHA-256 ${found}, and its manifest says ${sha256}`);
    } catch (error) {
      problems.push(`${path.relative(folder, place)}: ${(error as Error).message.replaceAll(folder, "")}`);
    }
  }
  return problems;
}

/** What one outcome has and the other has not; empty where they are the same. */
export function differences(expected: Outcome, found: Outcome): string[] {
  const differing: string[] = found.problems.map((line) => `broken rule: ${line}`);
  for (const part of ["rows", "files", "git"] as const) {
    const [there, wanted] = [new Set(found[part]), new Set(expected[part])];
    differing.push(...expected[part].filter((line) => !there.has(line)).map((line) => `${part}: not there: ${line}`));
    differing.push(...found[part].filter((line) => !wanted.has(line)).map((line) => `${part}: too much: ${line}`));
  }
  return differing;
}

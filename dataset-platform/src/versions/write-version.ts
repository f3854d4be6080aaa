import { rm } from "node:fs/promises";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { again, type Db, inTransaction } from "../registry/database.ts";
import type { Actor } from "../registry/events.ts";
import type { HeldLock } from "../registry/locks.ts";
import { beginVersion, dropVersion, finishVersion, interruptedVersion, newestVersion } from "../registry/versions.ts";
import { refuseUnknownPictures } from "./branch-pictures.ts";
import { type Draft, type DraftPlace, draftVersion } from "./draft.ts";
import { CommitRefused } from "./errors.ts";
import { runHook } from "./git-hooks.ts";
import { runLocking } from "./git-locks.ts";
import { type Git, GitError, type MadeCommit } from "./git.ts";
import { changedFolders, pointerFile, tryParsePointers } from "./pointers.ts";
import type { Remote } from "./remote.ts";
import { lockDvc, type News } from "./repository-lock.ts";
import type { TransferPlace } from "./transfer.ts";

/** How often, and how long, Git's index is waited for while another program holds it. */
const indexAttempts = 40;
const indexPauseMs = 250;

/** Files of the repository that are committed as they are. */
const ownFiles = [".gitignore", ".dvcignore", ".dvc/.gitignore", ".dvc/config"];

export interface WritePlace extends DraftPlace, TransferPlace {
  readonly git: Git;
  readonly remote: Remote;
  readonly news: News;
}

export interface VersionRequest {
  readonly message: string;
  readonly actor: Actor;
  /** The commit lock, under which this runs. */
  readonly lock: HeldLock;
}

/**
 * Makes the registry's rows a commit of the branch that is checked out: the commit, or undefined where the branch says the
 * same already. Needs the commit lock. Killed anywhere and run again, it makes the same version once.
 */
export async function writeVersion(place: WritePlace, db: Db, request: VersionRequest): Promise<string | undefined> {
  const { git, storage, news } = place;
  const branch = await git.currentBranch();
  await settle(place, db, request.actor);
  const head = await git.tryResolveCommit(branch);
  const base = head === undefined ? undefined : await git.tryShow(head, pointerFile);
  if (base !== undefined && tryParsePointers(base) === undefined)
    throw new CommitRefused(
      `${pointerFile} of ${branch} in ${storage.root} is not a pointer to Airloom's images: bring its last good version back (git log -- ${pointerFile})`,
    );
  const whole = !(await isNewestHere(git, db, base));
  if (whole && base !== undefined) await refuseUnknownPictures(place, db, base);
  if (whole && (await newestVersion(db)))
    news.warn(
      `${branch} does not hold the newest dataset version (it was reset, or ${pointerFile} was committed by hand): all its folders are written again from the registry`,
    );
  const release = await lockDvc(path.join(storage.root, ".dvc/tmp/lock"), news);
  let draft: Draft | undefined;
  try {
    draft = await again(async () => draftVersion(place, db, base, whole));
    if (draft && draft.pointers === undefined) await rm(path.join(storage.root, pointerFile), { force: true });
  } finally {
    // A hook may call dvc, which takes the same lock.
    await release();
  }
  if (!draft) return undefined;
  return commitDraft(place, db, request, branch, draft);
}

/** Whether `images.dvc` of the branch is that of the newest version: then all but what has changed since is as it should be. */
async function isNewestHere(git: Git, db: Db, base: string | undefined): Promise<boolean> {
  const newest = await newestVersion(db);
  if (!newest) return base === undefined;
  if (!(await git.tryResolveCommit(newest.commit))) return false;
  const written = await git.tryShow(newest.commit, pointerFile);
  return changedFolders(base, written).length === 0 && changedFolders(written, base).length === 0;
}

/** Ends a version whose writer was killed: it stands where a branch holds its commit, and else was never there. */
async function settle({ git, news }: WritePlace, db: Db, actor: Actor): Promise<void> {
  const left = await interruptedVersion(db);
  if (!left) return;
  const stands = await git.isOnBranch(left.commit);
  if (stands) await refreshIndex(git, news);
  await inTransaction(db, async (trx) => (stands ? finishVersion(trx, left.id, actor) : dropVersion(trx, left.id)));
}

async function commitDraft(place: WritePlace, db: Db, { message, actor, lock }: VersionRequest, branch: string, draft: Draft) {
  const { git, news } = place;
  let id: number | undefined;
  const beforeMove = async ({ commit, parent }: MadeCommit) => {
    const former = id;
    // Where the lock is lost meanwhile, this does not come true: whoever has the lock now would meet a second version.
    id = await lock.transaction(async (trx) => {
      if (former !== undefined) await dropVersion(trx, former);
      return beginVersion(trx, { commit, parent, message, changes: draft.changes }, actor);
    });
  };
  const files = new Map([
    [pointerFile, draft.pointers],
    ["classes.txt", draft.classes],
  ]);
  // A picture may have been asked for other classes and hold the same boxes: the version is another, the files are the same.
  const made = await git.commit({ branch, paths: ownFiles, files, message, allowEmpty: draft.changes.length > 0, beforeMove });
  if (!made) return undefined;
  await refreshIndex(git, news);
  await inTransaction(db, async (trx) => finishVersion(trx, id!, actor));
  await runHook(git, "post-commit", [], {}).catch((error: unknown) => news.warn((error as Error).message));
  return made.commit;
}

/** Tells Git's own index of the commit: else `git status` would show it undone, and a person's next commit would undo it. */
async function refreshIndex(git: Git, news: News): Promise<void> {
  const paths = [...ownFiles, "classes.txt", pointerFile];
  for (let attempt = 1; ; attempt++) {
    try {
      return await runLocking(git, ["reset", "--quiet", "--", ...paths], ["index.lock"]);
    } catch (error) {
      if (!(error instanceof GitError)) throw error;
      if (attempt === indexAttempts)
        return news.warn(
          `the commit is made, but Git's index is not in step with it, since another program holds it: ${error.message}. In ${git.folder}, run: git reset -- ${paths.join(" ")}`,
        );
      await sleep(indexPauseMs);
    }
  }
}

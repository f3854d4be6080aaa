import { constants } from "node:fs";
import { access } from "node:fs/promises";
import path from "node:path";
import { execa, ExecaError } from "execa";
import { CommitRefused } from "./errors.ts";
import type { Git } from "./git.ts";

/** Hooks of `git commit` that may refuse it. */
type RefusingHook = "pre-commit" | "prepare-commit-msg" | "commit-msg";

/**
 * Runs a hook of the repository as `git commit` does; throws CommitRefused with the hook's own words where it fails. The file
 * is run directly, because `git hook run` came with Git 2.36 only.
 */
export async function runHook(git: Git, hook: RefusingHook | "post-commit", args: readonly string[], env: Record<string, string>): Promise<void> {
  const file = path.resolve(git.folder, await git.run(["rev-parse", "--git-path", `hooks/${hook}`]));
  const isThere = await access(file, constants.X_OK).then(
    () => true,
    () => false,
  );
  if (!isThere) return;
  try {
    await execa(file, [...args], { cwd: git.folder, env: { ...git.environment(), GIT_EDITOR: ":", ...env }, extendEnv: false });
  } catch (cause) {
    const said = cause instanceof ExecaError ? [cause.stdout, cause.stderr].filter(Boolean).join("\n").trim() || cause.shortMessage : String(cause);
    throw new CommitRefused(`the ${hook} hook of ${git.folder} (${file}) has refused the commit. It says:\n${said}`, { cause });
  }
}
